//! A program that decodes a stream as it would on a device.
//!
//! It has a parser, creates a decoder when the parser announces a sequence, and maps and downloads each frame
//! when it is to be displayed.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::c_void;
use std::path::Path;

use candle_core::Device;
use cutrickle_codec::Backends;
use cutrickle_frame::{I420, Origin};
use cutrickle_media::{AccessUnit, Timestamp, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event};
use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECREATEINFO, CUVIDPICPARAMS, CUVIDPROCPARAMS, cudaVideoChromaFormat, cudaVideoCodec,
    cudaVideoDeinterlaceMode, cudaVideoSurfaceFormat,
};
use nvidia_video_codec_sdk::sys::nvcuvid::{
    CUVIDEOFORMAT, CUVIDPARSERDISPINFO, CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET,
};

use crate::stage::{Cuda, Handle, functions, made, ok, open};

functions! { Cuvid:
    fn cuvidCreateVideoParser(parser: *mut Handle, parameters: *const CUVIDPARSERPARAMS);
    fn cuvidParseVideoData(parser: Handle, packet: *const CUVIDSOURCEDATAPACKET);
    fn cuvidDestroyVideoParser(parser: Handle);
    fn cuvidGetDecoderCaps(caps: *mut c_void);
    fn cuvidCreateDecoder(decoder: *mut Handle, info: *const CUVIDDECODECREATEINFO);
    fn cuvidReconfigureDecoder(decoder: Handle, info: *const c_void);
    fn cuvidDestroyDecoder(decoder: Handle);
    fn cuvidDecodePicture(decoder: Handle, picture: *const CUVIDPICPARAMS);
    fn cuvidGetDecodeStatus(decoder: Handle, picture: i32, status: *mut c_void);
    fn cuvidMapVideoFrame64(
        decoder: Handle, picture: i32, address: *mut u64, pitch: *mut u32, parameters: *const CUVIDPROCPARAMS
    );
    fn cuvidUnmapVideoFrame64(decoder: Handle, address: u64);
}

pub const ENDOFSTREAM: u64 = 1;
pub const TIMESTAMP: u64 = 2;
pub const DISCONTINUITY: u64 = 4;
pub const ENDOFPICTURE: u64 = 8;
pub const NOTIFY_EOS: u64 = 16;

/// An access unit.
#[derive(Debug, Clone)]
pub struct Unit {
    pub data: Vec<u8>,
    pub timestamp: i64,
    pub keyframe: bool,
}

/// The first access units of the clip.
pub fn clip(count: usize) -> Vec<Unit> {
    units(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/cli/assets/clip/big-buck-bunny.ts")),
        count,
    )
}

/// The first video access units of a transport stream.
pub fn units(path: &Path, count: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut demuxer = Demuxer::new();
    let mut sink = |event| {
        if let Event::Unit(unit) = event
            && unit.codec.is_video()
        {
            let timestamp = unit.pts.ticks();
            units.push(Unit { data: unit.data.to_vec(), timestamp, keyframe: unit.keyframe });
        }
    };
    demuxer.push(&std::fs::read(path).unwrap(), &mut sink);
    demuxer.end_segment(&mut sink);
    units.truncate(count);
    units
}

/// The frames that the project's own decoder for the CPU decodes these access units to, in display order.
pub fn reference(units: &[Unit]) -> Vec<(i64, I420)> {
    let backends = Backends::builtin();
    let mut decoder = backends.open_video_decoder_named("openh264", VideoCodec::H264, &Device::Cpu).unwrap();
    let mut frames = Vec::new();
    for unit in units {
        let at = Timestamp::from_ticks(unit.timestamp);
        let unit = AccessUnit::new(VideoCodec::H264, at, unit.keyframe, unit.data.clone().into());
        decoder.decode(&unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
    }
    decoder.flush(&mut |frame| frames.push(frame)).unwrap();
    frames.iter().map(|frame| (frame.timestamp().ticks(), (*frame.i420().unwrap()).clone())).collect()
}

/// A frame as packed NV12: rows of luma, then rows of chroma.
pub fn nv12(picture: &I420) -> Vec<u8> {
    let [y, u, v] = picture.planes();
    let mut bytes = y.data[..y.width * y.height].to_vec();
    bytes.extend(u.data.iter().zip(v.data).flat_map(|(u, v)| [*u, *v]));
    bytes
}

/// A frame that was displayed.
pub struct Shown {
    pub timestamp: i64,
    /// How many access units the parser had been fed.
    pub after: usize,
    pub nv12: Vec<u8>,
}

/// How the player decodes.
#[derive(Clone, Copy)]
pub struct Settings {
    /// How many surfaces the parser and the decoder have, or 0 for as many as the stream requires.
    pub surfaces: usize,
    pub delay: u32,
    /// The size of the target, or `None` for the size of the displayed area.
    pub target: Option<(u32, u32)>,
    pub display_area: Option<[i16; 4]>,
    pub mapped: usize,
    pub codec: cudaVideoCodec,
}

impl Default for Settings {
    fn default() -> Self {
        let codec = cudaVideoCodec::cudaVideoCodec_H264;
        Self { surfaces: 0, delay: 0, target: None, display_area: None, mapped: 2, codec }
    }
}

pub struct Player {
    pub cuda: Cuda,
    pub cuvid: Cuvid,
    pub settings: Settings,
    pub stream: Handle,
    pub parser: Handle,
    pub decoder: Handle,
    pub format: Option<CUVIDEOFORMAT>,
    pub target: (u32, u32),
    pub shown: Vec<Shown>,
    pub fed: usize,
    /// Whether the display callback was called for the end of the stream.
    pub ended: bool,
    pub sequences: usize,
    /// Each picture's surface, and whether it is intra-coded and a reference, in decoding order.
    pub decoded: Vec<(i32, bool, bool)>,
}

/// # Safety
/// `user` must point to the player, which nobody else may use during the call.
unsafe fn player<'a>(user: *mut c_void) -> &'a mut Player {
    // SAFETY: the caller guarantees it.
    unsafe { &mut *user.cast::<Player>() }
}

unsafe extern "C" fn sequence(user: *mut c_void, format: *mut CUVIDEOFORMAT) -> i32 {
    // SAFETY: the parser passes the pointer that it was created with, and a format.
    unsafe { player(user).sequence(format.read()) }
}

unsafe extern "C" fn decode(user: *mut c_void, picture: *mut CUVIDPICPARAMS) -> i32 {
    // SAFETY: as above, with a picture's parameters.
    unsafe {
        let player = player(user);
        let flags = ((*picture).intra_pic_flag != 0, (*picture).ref_pic_flag != 0);
        player.decoded.push(((*picture).CurrPicIdx, flags.0, flags.1));
        ok(player.cuvid.cuvidDecodePicture(player.decoder, picture));
    }
    1
}

unsafe extern "C" fn display(user: *mut c_void, shown: *mut CUVIDPARSERDISPINFO) -> i32 {
    // SAFETY: as above, with what to display, or null at the end of the stream.
    unsafe {
        match shown.as_ref() {
            Some(shown) => player(user).display(shown),
            None => player(user).ended = true,
        }
    }
    1
}

impl Player {
    /// The player is boxed because the parser keeps its address.
    pub fn new(settings: Settings) -> Box<Self> {
        let (cuda, cuvid) = (Cuda::ready(), Cuvid(open()));
        let stream = cuda.stream();
        let mut player = Box::new(Self {
            cuda,
            cuvid,
            settings,
            stream,
            parser: 0,
            decoder: 0,
            format: None,
            target: (0, 0),
            shown: Vec::new(),
            fed: 0,
            ended: false,
            sequences: 0,
            decoded: Vec::new(),
        });
        let parameters = CUVIDPARSERPARAMS {
            CodecType: settings.codec,
            ulMaxNumDecodeSurfaces: settings.surfaces.max(1) as u32,
            ulMaxDisplayDelay: settings.delay,
            pUserData: (&raw mut *player).cast(),
            pfnSequenceCallback: Some(sequence),
            pfnDecodePicture: Some(decode),
            pfnDisplayPicture: Some(display),
            ..CUVIDPARSERPARAMS::default()
        };
        player.parser = made(|parser| player.cuvid.cuvidCreateVideoParser(parser, &raw const parameters));
        player
    }

    fn sequence(&mut self, format: CUVIDEOFORMAT) -> i32 {
        self.sequences += 1;
        let surfaces = match self.settings.surfaces {
            0 => usize::from(format.min_num_decode_surfaces),
            number => number,
        };
        let area = &format.display_area;
        self.target = self
            .settings
            .target
            .unwrap_or(((area.right - area.left) as u32, (area.bottom - area.top) as u32));
        if self.decoder != 0 {
            ok(self.cuvid.cuvidDestroyDecoder(self.decoder));
        }
        let info = self.info(&format, surfaces);
        self.decoder = made(|decoder| self.cuvid.cuvidCreateDecoder(decoder, &raw const info));
        self.format = Some(format);
        surfaces as i32
    }

    pub fn info(&self, format: &CUVIDEOFORMAT, surfaces: usize) -> CUVIDDECODECREATEINFO {
        // SAFETY: zeros are valid in every field of this C struct.
        let mut info: CUVIDDECODECREATEINFO = unsafe { std::mem::zeroed() };
        info.CodecType = self.settings.codec;
        info.ChromaFormat = cudaVideoChromaFormat::cudaVideoChromaFormat_420;
        info.OutputFormat = cudaVideoSurfaceFormat::cudaVideoSurfaceFormat_NV12;
        info.DeinterlaceMode = cudaVideoDeinterlaceMode::cudaVideoDeinterlaceMode_Weave;
        (info.ulWidth, info.ulHeight) = (format.coded_width.into(), format.coded_height.into());
        info.ulNumDecodeSurfaces = surfaces as u64;
        info.ulNumOutputSurfaces = self.settings.mapped as u64;
        (info.ulTargetWidth, info.ulTargetHeight) = (self.target.0.into(), self.target.1.into());
        let area = &format.display_area;
        let own = [area.left, area.top, area.right, area.bottom].map(|side| side as i16);
        let [left, top, right, bottom] = self.settings.display_area.unwrap_or(own);
        (info.display_area.left, info.display_area.top) = (left, top);
        (info.display_area.right, info.display_area.bottom) = (right, bottom);
        info
    }

    pub fn map(&self, picture: i32) -> Result<(u64, usize), i32> {
        let parameters = CUVIDPROCPARAMS {
            progressive_frame: 1,
            output_stream: std::ptr::without_provenance_mut(self.stream),
            ..CUVIDPROCPARAMS::default()
        };
        let (mut address, mut pitch) = (0, 0);
        let at = (&raw mut address, &raw mut pitch);
        match self.cuvid.cuvidMapVideoFrame64(self.decoder, picture, at.0, at.1, &raw const parameters) {
            0 => Ok((address, pitch as usize)),
            status => Err(status),
        }
    }

    fn display(&mut self, shown: &CUVIDPARSERDISPINFO) {
        let (address, pitch) = self.map(shown.picture_index).unwrap();
        let (width, height) = (self.target.0 as usize, self.target.1 as usize);
        assert!(pitch > width && pitch.is_multiple_of(512), "{pitch}");
        let bytes = self.cuda.read(address, pitch * height * 3 / 2, self.stream);
        ok(self.cuvid.cuvidUnmapVideoFrame64(self.decoder, address));
        let nv12 = bytes.chunks(pitch).flat_map(|row| &row[..width]).copied().collect();
        self.shown.push(Shown { timestamp: shown.timestamp, after: self.fed, nv12 });
    }

    pub fn packet(&mut self, data: &[u8], timestamp: i64, flags: u64) -> i32 {
        let packet = CUVIDSOURCEDATAPACKET {
            flags,
            payload_size: data.len() as u64,
            payload: data.as_ptr(),
            timestamp,
        };
        self.cuvid.cuvidParseVideoData(self.parser, &raw const packet)
    }

    /// Feeds one access unit as a whole.
    #[track_caller]
    pub fn feed(&mut self, unit: &Unit) {
        self.fed += 1;
        ok(self.packet(&unit.data, unit.timestamp, TIMESTAMP | ENDOFPICTURE));
    }

    pub fn finish(&mut self) {
        ok(self.packet(&[], 0, ENDOFSTREAM));
    }

    pub fn close(&self) {
        ok(self.cuvid.cuvidDestroyVideoParser(self.parser));
        if self.decoder != 0 {
            ok(self.cuvid.cuvidDestroyDecoder(self.decoder));
        }
        ok(self.cuda.cuStreamDestroy_v2(self.stream));
        self.cuda.close();
    }
}

/// Skips a test that cannot run here, and leaves a clean report.
pub fn skip() {
    eprintln!("skipped: ffmpeg is missing");
    Cuda::ready().close();
}
