//! The engine: pictures are decoded to numbered surfaces, and those are mapped for a stream.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::mem::offset_of;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECAPS, CUVIDDECODECREATEINFO, CUVIDGETDECODESTATUS, CUVIDPICPARAMS, CUVIDPROCPARAMS,
    CUVIDRECONFIGUREDECODERINFO,
};

use super::software::{self, Planes, Software};
use super::surface::{Area, Layout};
use super::{Codec, lock as context_lock};
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
    codec: Codec,
    depth: u32,
    /// Largest size that it can be configured to.
    most: (u32, u32),
    most_surfaces: usize,
    most_mapped: usize,
    state: Mutex<State>,
}

struct State {
    decoder: Box<dyn Software>,
    /// Of the coded picture.
    size: (u32, u32),
    layout: Layout,
    surfaces: Vec<Slot>,
    mapped: BTreeMap<u64, (Arc<Block>, Arc<Stream>)>,
}

/// A surface of the decoder's own. What is in it is read by streams, while the decoder decodes something else.
#[derive(Default)]
struct Slot {
    picture: Arc<Mutex<Option<Arc<Planes>>>>,
    status: u32,
}

/// So many, with nothing in them.
fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|_| Slot::default()).collect()
}

static DECODERS: Table<Decoder> = Table::new();
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Decoders that were not destroyed.
pub(super) fn live() -> usize {
    DECODERS.len()
}

/// Surfaces that were not unmapped.
pub(super) fn mapped() -> usize {
    MAPPED.load(Ordering::Acquire)
}

/// Least and largest size of a codec's pictures, as GPUs of these years have them.
fn limits(codec: Codec) -> [(u32, u32); 2] {
    match codec {
        Codec::H264 => [(48, 16), (4096, 4096)],
        Codec::H265 => [(144, 144), (8192, 8192)],
        Codec::Av1 => [(128, 128), (8192, 8192)],
    }
}

const MOST_SURFACES: usize = 32;
const MOST_MAPPED: usize = 64;

/// `cuvidDecodeStatus`.
const INVALID: u32 = 0;
const SUCCESS: u32 = 2;
const ERROR: u32 = 8;

/// 4:2:0, as `cudaVideoChromaFormat` has it.
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

/// Checks sizes and areas.
fn layout(
    name: &str,
    codec: Codec,
    depth: u32,
    size: (u32, u32),
    target: (u32, u32),
    areas: [[i16; 4]; 2],
) -> Answer<Layout> {
    let [least, most] = limits(codec);
    if size.0 < least.0 || size.1 < least.1 || size.0 > most.0 || size.1 > most.1 {
        return refuse(name, &format!("{}x{} is outside of the device's limits", size.0, size.1));
    }
    if target.0 == 0 || target.1 == 0 || target.0 > most.0 || target.1 > most.1 {
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
        let codec = Codec::of(codec).filter(|codec| {
            chroma == CHROMA_420 && software::supports(*codec, answer.nBitDepthMinus8.saturating_add(8))
        });
        let supported = codec.is_some();
        answer.bIsSupported = u8::from(supported);
        answer.nNumNVDECs = u8::from(SETTINGS.decoder);
        // NV12, or P016 for what it takes more than 8 bits to hold.
        answer.nOutputFormatMask = u16::from(supported) << u32::from(answer.nBitDepthMinus8 > 0);
        let [least, most] = codec.map_or([(0, 0); 2], limits);
        (answer.nMaxWidth, answer.nMaxHeight) = most;
        answer.nMaxMBCount = most.0 * most.1 / 256;
        (answer.nMinWidth, answer.nMinHeight) = (least.0 as u16, least.1 as u16);
        caps.put(answer)
    }

    fn cuvidCreateDecoder(decoder: Out<Handle>, info: In<CUVIDDECODECREATEINFO>) needs Context {
        let name = "cuvidCreateDecoder";
        let codec = info.number(offset_of!(CUVIDDECODECREATEINFO, CodecType))?;
        let chroma = info.number(offset_of!(CUVIDDECODECREATEINFO, ChromaFormat))?;
        let output = info.number(offset_of!(CUVIDDECODECREATEINFO, OutputFormat))?;
        let deinterlace = info.number(offset_of!(CUVIDDECODECREATEINFO, DeinterlaceMode))?;
        let codec = Codec::of(codec).filter(|_| chroma == CHROMA_420).ok_or(Status::NOT_SUPPORTED)?;
        let info = info.get()?;
        let depth = u32::try_from(info.bitDepthMinus8).unwrap_or(u32::MAX).saturating_add(8);
        if !software::supports(codec, depth) || output != u32::from(depth > 8) {
            return Err(Status::NOT_SUPPORTED);
        }
        if info.Reserved1 != 0 || info.Reserved2 != [0; 4] {
            return refuse(name, "reserved fields are not zero");
        }
        // cudaVideoDeinterlaceMode; cudaVideoCreateFlags.
        if deinterlace > 2 || !matches!(info.ulCreationFlags, 0 | 1 | 2 | 4) || info.enableHistogram != 0 {
            return refuse(name, "unknown modes or flags");
        }
        let side = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let size = (side(info.ulWidth), side(info.ulHeight));
        let most = (side(info.ulMaxWidth), side(info.ulMaxHeight));
        let most = (if most.0 == 0 { size.0 } else { most.0 }, if most.1 == 0 { size.1 } else { most.1 });
        let [_, limit] = limits(codec);
        if size.0 > most.0 || size.1 > most.1 || most.0 > limit.0 || most.1 > limit.1 {
            return refuse(name, "larger than ulMaxWidth x ulMaxHeight, or those than the device's limits");
        }
        let (surfaces, mapped) = (info.ulNumDecodeSurfaces as usize, info.ulNumOutputSurfaces as usize);
        if surfaces == 0 || surfaces > MOST_SURFACES || mapped == 0 || mapped > MOST_MAPPED {
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
            most,
            most_surfaces: surfaces,
            most_mapped: mapped,
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
        if size.0 > decoder.most.0 || size.1 > decoder.most.1 {
            return refuse(name, "larger than ulMaxWidth x ulMaxHeight");
        }
        let surfaces = info.ulNumDecodeSurfaces as usize;
        if surfaces == 0 || surfaces > decoder.most_surfaces {
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
        // SAFETY: the parameters say that so many bytes are there.
        let bytes =
            unsafe { std::slice::from_raw_parts(picture.pBitstreamData, picture.nBitstreamDataLen as usize) };
        let (decoded, whole) = state.decoder.decode(bytes, picture.intra_pic_flag != 0);
        let slot = &mut state.surfaces[slot];
        slot.status = if whole { SUCCESS } else { ERROR };
        // A picture that was not to be decoded leaves what was there, as a device does.
        if let Some(decoded) = decoded.filter(|decoded| decoded.depth == decoder.depth) {
            *lock(&slot.picture) = Some(Arc::new(decoded));
        }
        Ok(())
    }

    fn cuvidGetDecodeStatus(decoder: Handle, picture: c_int, status: Out<CUVIDGETDECODESTATUS>) needs Context {
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
        if parameters.second_field != 0 || parameters.raw_input_dptr != 0 || !parameters.histogram_dptr.is_null() {
            return refuse(name, "fields, raw input and histograms are not supported");
        }
        let stream = stream::find(name, parameters.output_stream.addr())?;
        let mut state = lock(&decoder.state);
        if state.mapped.len() >= decoder.most_mapped {
            report::wrong(name, &format!("{} surfaces are mapped, and no more may be", decoder.most_mapped));
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
            // The surface is read now, so with what was decoded over it meanwhile.
            let picture = lock(&surface).clone();
            // Of a picture that could not be decoded nothing is there: what fills new memory shows.
            let Some(picture) = picture else { return Ok(()) };
            let bytes = layout.fill(&picture);
            let range = memory::range(context, at, bytes.len() as u64)?;
            // SAFETY: the range is as long, and kept by what was looked up.
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
        // The surface may be written again as soon as its stream gets there, and by then is no one's.
        stream.submit(move || {
            block.end();
            Ok(())
        });
        Ok(())
    }
}
