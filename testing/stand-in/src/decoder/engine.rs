//! The engine decodes pictures to numbered surfaces and maps those for a stream.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::mem::offset_of;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cutrickle_media::VideoCodec;
use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECAPS, CUVIDDECODECREATEINFO, CUVIDGETDECODESTATUS, CUVIDPICPARAMS, CUVIDPROCPARAMS,
    CUVIDRECONFIGUREDECODERINFO,
};

use super::software::{self, Planes, Software};
use super::surface::{Area, Layout};
use super::{codec_of, lock as context_lock};
use crate::call::entry_points;
use crate::driver::context::{self, Context};
use crate::driver::memory::{self, Block};
use crate::driver::stream::{self, Stream};
use crate::pointer::{In, Out};
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table, lock};

struct Decoder {
    context: &'static Context,
    codec: VideoCodec,
    depth: u32,
    /// The largest size that the decoder can be reconfigured to.
    max_size: (u32, u32),
    max_surfaces: usize,
    max_mapped: usize,
    state: Mutex<State>,
}

struct State {
    decoder: Box<dyn Software>,
    /// The size of a coded picture.
    size: (u32, u32),
    layout: Layout,
    surfaces: Vec<Slot>,
    mapped: BTreeMap<u64, (Arc<Block>, Arc<Stream>)>,
}

/// One of the decoder's own surfaces. Streams read it while the decoder is decoding other pictures.
#[derive(Default)]
struct Slot {
    picture: Arc<Mutex<Option<Arc<Planes>>>>,
    status: u32,
}

/// Returns `count` empty slots.
fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|_| Slot::default()).collect()
}

static DECODERS: Table<Decoder> = Table::new();
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// How many decoders have not been destroyed.
pub(super) fn live() -> usize {
    DECODERS.len()
}

/// How many surfaces have not been unmapped.
pub(super) fn mapped() -> usize {
    MAPPED.load(Ordering::Acquire)
}

/// The smallest and the largest picture of a codec, as on current GPUs.
fn limits(codec: VideoCodec) -> [(u32, u32); 2] {
    match codec {
        VideoCodec::H264 => [(48, 16), (4096, 4096)],
        VideoCodec::H265 => [(144, 144), (8192, 8192)],
    }
}

const MAX_SURFACES: usize = 32;
const MAX_MAPPED: usize = 64;

/// `cuvidDecodeStatus`.
const INVALID: u32 = 0;
const SUCCESS: u32 = 2;
const ERROR: u32 = 8;

/// 4:2:0 (`cudaVideoChromaFormat`).
const CHROMA_420: u32 = 1;

fn refuse<T>(name: &str, why: &str) -> Answer<T> {
    report::wrong(name, why);
    Err(Status::INVALID_VALUE)
}

fn find(name: &str, handle: Handle) -> Answer<Arc<Decoder>> {
    let Some(decoder) = DECODERS.get(handle) else {
        report::wrong(name, "there is no such decoder");
        return Err(Status::INVALID_HANDLE);
    };
    if !std::ptr::eq(decoder.context, context::current()?) {
        report::wrong(name, "the decoder is of another context than the current");
        return Err(Status::INVALID_CONTEXT);
    }
    Ok(decoder)
}

/// Checks sizes and areas against the device's limits and against each other.
fn layout(
    name: &str,
    codec: VideoCodec,
    depth: u32,
    size: (u32, u32),
    target: (u32, u32),
    areas: [[i16; 4]; 2],
) -> Answer<Layout> {
    let [min, max] = limits(codec);
    if size.0 < min.0 || size.1 < min.1 || size.0 > max.0 || size.1 > max.1 {
        return refuse(name, &format!("{}x{} is outside of the device's limits", size.0, size.1));
    }
    if target.0 == 0 || target.1 == 0 || target.0 > max.0 || target.1 > max.1 {
        return refuse(name, &format!("a target of {}x{}", target.0, target.1));
    }
    if !target.0.is_multiple_of(2) || !target.1.is_multiple_of(2) {
        return refuse(name, &format!("a target of {}x{}: sides are even", target.0, target.1));
    }
    let [shown, placed] = areas;
    let Some(shown) = Area::new(shown, size) else {
        return refuse(name, "display_area outside of the picture");
    };
    let Some(placed) = Area::new(placed, target) else {
        return refuse(name, "target_rect outside of the target");
    };
    Ok(Layout { shown, placed, width: target.0, height: target.1, depth })
}

entry_points! {
    fn cuvidGetDecoderCaps(caps: Out<CUVIDDECODECAPS>) needs Context {
        let asked = caps.asked();
        let codec = asked.number(offset_of!(CUVIDDECODECAPS, eCodecType))?;
        let chroma = asked.number(offset_of!(CUVIDDECODECAPS, eChromaFormat))?;
        let mut answer = asked.get()?;
        if answer.reserved1 != [0; 3] {
            return refuse("cuvidGetDecoderCaps", "reserved fields are not zero");
        }
        let codec = codec_of(codec).filter(|codec| {
            chroma == CHROMA_420 && software::supports(*codec, answer.nBitDepthMinus8.saturating_add(8))
        });
        let supported = codec.is_some();
        answer.bIsSupported = u8::from(supported);
        answer.nNumNVDECs = u8::from(SETTINGS.decoder);
        // NV12, or P016 for samples of more than 8 bits.
        answer.nOutputFormatMask = u16::from(supported) << u32::from(answer.nBitDepthMinus8 > 0);
        let [min, max] = codec.map_or([(0, 0); 2], limits);
        (answer.nMaxWidth, answer.nMaxHeight) = max;
        answer.nMaxMBCount = max.0 * max.1 / 256;
        (answer.nMinWidth, answer.nMinHeight) = (min.0 as u16, min.1 as u16);
        caps.put(answer)
    }

    fn cuvidCreateDecoder(decoder: Out<Handle>, info: In<CUVIDDECODECREATEINFO>) needs Context {
        let name = "cuvidCreateDecoder";
        let codec = info.number(offset_of!(CUVIDDECODECREATEINFO, CodecType))?;
        let chroma = info.number(offset_of!(CUVIDDECODECREATEINFO, ChromaFormat))?;
        let output = info.number(offset_of!(CUVIDDECODECREATEINFO, OutputFormat))?;
        let deinterlace = info.number(offset_of!(CUVIDDECODECREATEINFO, DeinterlaceMode))?;
        let codec = codec_of(codec).filter(|_| chroma == CHROMA_420).ok_or(Status::NOT_SUPPORTED)?;
        let info = info.get()?;
        let depth = u32::try_from(info.bitDepthMinus8).unwrap_or(u32::MAX).saturating_add(8);
        if !software::supports(codec, depth) || output != u32::from(depth > 8) {
            return Err(Status::NOT_SUPPORTED);
        }
        if info.Reserved1 != 0 || info.Reserved2 != [0; 4] {
            return refuse(name, "reserved fields are not zero");
        }
        // `cudaVideoDeinterlaceMode` and `cudaVideoCreateFlags`.
        if deinterlace > 2 || !matches!(info.ulCreationFlags, 0 | 1 | 2 | 4) || info.enableHistogram != 0 {
            return refuse(name, "unknown modes or flags");
        }
        let side = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let size = (side(info.ulWidth), side(info.ulHeight));
        let max = (side(info.ulMaxWidth), side(info.ulMaxHeight));
        let max = (if max.0 == 0 { size.0 } else { max.0 }, if max.1 == 0 { size.1 } else { max.1 });
        let [_, limit] = limits(codec);
        if size.0 > max.0 || size.1 > max.1 || max.0 > limit.0 || max.1 > limit.1 {
            return refuse(name, "larger than ulMaxWidth x ulMaxHeight, or those than the device's limits");
        }
        let (surfaces, mapped) = (info.ulNumDecodeSurfaces as usize, info.ulNumOutputSurfaces as usize);
        if surfaces == 0 || surfaces > MAX_SURFACES || mapped == 0 || mapped > MAX_MAPPED {
            return refuse(name, &format!("{surfaces} surfaces, {mapped} of them mapped"));
        }
        let lock_handle = info.vidLock.addr();
        if lock_handle != 0 && !context_lock::is_one(lock_handle) {
            return refuse(name, "vidLock is no lock");
        }
        let (shown, placed) = (info.display_area, info.target_rect);
        let areas = [
            [shown.left, shown.top, shown.right, shown.bottom],
            [placed.left, placed.top, placed.right, placed.bottom],
        ];
        let target = (side(info.ulTargetWidth), side(info.ulTargetHeight));
        let layout = layout(name, codec, depth, size, target, areas)?;
        let state = State {
            decoder: software::open(codec)?,
            size,
            layout,
            surfaces: slots(surfaces),
            mapped: BTreeMap::new(),
        };
        decoder.put(DECODERS.insert(Arc::new(Decoder {
            context: context::current()?,
            codec,
            depth,
            max_size: max,
            max_surfaces: surfaces,
            max_mapped: mapped,
            state: Mutex::new(state),
        })))
    }

    fn cuvidDestroyDecoder(decoder: Handle) needs Context {
        let found = find("cuvidDestroyDecoder", decoder)?;
        if !lock(&found.state).mapped.is_empty() {
            report::wrong("cuvidDestroyDecoder", "surfaces are mapped");
        }
        DECODERS.remove(decoder);
        Ok(())
    }

    fn cuvidReconfigureDecoder(decoder: Handle, info: In<CUVIDRECONFIGUREDECODERINFO>) needs Context {
        let name = "cuvidReconfigureDecoder";
        let decoder = find(name, decoder)?;
        let info = info.get()?;
        if info.reserved1 != [0; 12] || info.reserved2 != [0; 11] {
            return refuse(name, "reserved fields are not zero");
        }
        let size = (info.ulWidth, info.ulHeight);
        if size.0 > decoder.max_size.0 || size.1 > decoder.max_size.1 {
            return refuse(name, "larger than ulMaxWidth x ulMaxHeight");
        }
        let surfaces = info.ulNumDecodeSurfaces as usize;
        if surfaces == 0 || surfaces > decoder.max_surfaces {
            return refuse(name, "more surfaces than the decoder was created with");
        }
        let (shown, placed) = (info.display_area, info.target_rect);
        let areas = [
            [shown.left, shown.top, shown.right, shown.bottom],
            [placed.left, placed.top, placed.right, placed.bottom],
        ];
        let target = (info.ulTargetWidth, info.ulTargetHeight);
        let layout = layout(name, decoder.codec, decoder.depth, size, target, areas)?;
        let mut state = lock(&decoder.state);
        if !state.mapped.is_empty() {
            return refuse(name, "surfaces are mapped");
        }
        state.size = size;
        state.layout = layout;
        state.surfaces = slots(surfaces);
        Ok(())
    }

    fn cuvidDecodePicture(decoder: Handle, picture: In<CUVIDPICPARAMS>) needs Context {
        let name = "cuvidDecodePicture";
        let decoder = find(name, decoder)?;
        let picture = picture.get()?;
        let mut state = lock(&decoder.state);
        let slot = usize::try_from(picture.CurrPicIdx).ok().filter(|&slot| slot < state.surfaces.len());
        let Some(slot) = slot else { return refuse(name, "CurrPicIdx is no surface") };
        let macroblocks = (state.size.0.div_ceil(16), state.size.1.div_ceil(16));
        if (picture.PicWidthInMbs as u32, picture.FrameHeightInMbs as u32) != macroblocks {
            return refuse(name, "a picture of another size than the decoder's");
        }
        if picture.pBitstreamData.is_null() || picture.nBitstreamDataLen == 0 || picture.nNumSlices == 0 {
            return refuse(name, "no bitstream");
        }
        if picture.Reserved != [0; 30] {
            return refuse(name, "reserved fields are not zero");
        }
        // SAFETY: the caller promises that `nBitstreamDataLen` bytes can be read there.
        let bytes =
            unsafe { std::slice::from_raw_parts(picture.pBitstreamData, picture.nBitstreamDataLen as usize) };
        let (decoded, whole) = state.decoder.decode(bytes, picture.intra_pic_flag != 0);
        let slot = &mut state.surfaces[slot];
        slot.status = if whole { SUCCESS } else { ERROR };
        // A picture that could not be decoded leaves the surface as it was, as on a device.
        if let Some(decoded) = decoded.filter(|decoded| decoded.depth == decoder.depth) {
            *lock(&slot.picture) = Some(Arc::new(decoded));
        }
        Ok(())
    }

    fn cuvidGetDecodeStatus(
        decoder: Handle,
        picture: c_int,
        status: Out<CUVIDGETDECODESTATUS>,
    ) needs Context {
        let decoder = find("cuvidGetDecodeStatus", decoder)?;
        let state = lock(&decoder.state);
        let slot = usize::try_from(picture).ok().and_then(|slot| state.surfaces.get(slot));
        let Some(slot) = slot.filter(|slot| slot.status != INVALID) else {
            return refuse("cuvidGetDecodeStatus", "nothing was decoded there");
        };
        status.cast::<c_uint>().put(slot.status)
    }

    fn cuvidMapVideoFrame64(
        decoder: Handle,
        picture: c_int,
        address: Out<u64>,
        pitch: Out<c_uint>,
        parameters: In<CUVIDPROCPARAMS>,
    ) needs Context {
        let name = "cuvidMapVideoFrame64";
        let decoder = find(name, decoder)?;
        let parameters = parameters.get()?;
        if parameters.reserved_zero != 0 || parameters.Reserved1 != 0 || parameters.Reserved != [0; 46] {
            return refuse(name, "reserved fields are not zero");
        }
        let histogram = !parameters.histogram_dptr.is_null();
        if parameters.second_field != 0 || parameters.raw_input_dptr != 0 || histogram {
            return refuse(name, "fields, raw input and histograms are not supported");
        }
        let stream = stream::find(name, parameters.output_stream.addr())?;
        let mut state = lock(&decoder.state);
        if state.mapped.len() >= decoder.max_mapped {
            report::wrong(name, &format!("{} surfaces are mapped, and no more may be", decoder.max_mapped));
            return Err(Status::MAP_FAILED);
        }
        let slot = usize::try_from(picture).ok().and_then(|slot| state.surfaces.get(slot));
        let Some(slot) = slot.filter(|slot| slot.status != INVALID) else {
            return refuse(name, &format!("no picture was decoded to surface {picture}"));
        };
        let surface = Arc::clone(&slot.picture);
        let layout = state.layout;
        let block = Block::surface(stream.context, layout.size() as u64)?;
        address.put(block.address)?;
        pitch.put(layout.pitch() as c_uint)?;
        let (context, at) = (stream.context, block.address);
        stream.submit(move || {
            // The surface is read when the stream gets here, so anything decoded over it in the meantime
            // shows.
            let picture = lock(&surface).clone();
            // If nothing was ever decoded there, the block keeps the filling of new memory.
            let Some(picture) = picture else { return Ok(()) };
            let bytes = layout.fill(&picture);
            let range = memory::range(context, at, bytes.len() as u64)?;
            // SAFETY: the range has as many bytes and stays mapped while `range` lives.
            unsafe { range.host().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            Ok(())
        });
        state.mapped.insert(at, (block, stream));
        MAPPED.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn cuvidUnmapVideoFrame64(decoder: Handle, address: u64) needs Context {
        let decoder = find("cuvidUnmapVideoFrame64", decoder)?;
        let mapped = lock(&decoder.state).mapped.remove(&address);
        let Some((block, stream)) = mapped else {
            report::wrong("cuvidUnmapVideoFrame64", "that is not mapped");
            return Err(Status::UNMAP_FAILED);
        };
        MAPPED.fetch_sub(1, Ordering::AcqRel);
        // The surface may be reused once its stream gets here, and has no owner from then on.
        stream.submit(move || {
            block.end();
            Ok(())
        });
        Ok(())
    }
}
