//! The minimum that makes NVDEC decode: a parser, a decoder, and the two callbacks between them.
//!
//! Frames are decoded and left where they are. Only the last one is mapped, so that the loop ends when the
//! hardware has finished. [`super::decoder`] compares the crate's own decoder with this loop, which therefore
//! uses none of it.

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::mem::zeroed;
use std::ptr;

use cutrickle_cuda::Gpu;
use libloading::{Library, Symbol};
use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECREATEINFO, CUVIDPICPARAMS, CUVIDPROCPARAMS, cudaVideoChromaFormat, cudaVideoCodec,
    cudaVideoSurfaceFormat_enum,
};
use nvidia_video_codec_sdk::sys::nvcuvid::{
    CUVIDEOFORMAT, CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET, CUvideopacketflags,
};

type Create<T> = unsafe extern "C" fn(*mut *mut c_void, *mut T) -> c_int;
type With<T> = unsafe extern "C" fn(*mut c_void, *mut T) -> c_int;
type Map = unsafe extern "C" fn(*mut c_void, c_int, *mut u64, *mut c_uint, *mut CUVIDPROCPARAMS) -> c_int;
type Unmap = unsafe extern "C" fn(*mut c_void, u64) -> c_int;
type Destroy = unsafe extern "C" fn(*mut c_void) -> c_int;

struct Loop<'a> {
    create: Symbol<'a, Create<CUVIDDECODECREATEINFO>>,
    decode: Symbol<'a, With<CUVIDPICPARAMS>>,
    decoder: *mut c_void,
    last: c_int,
}

/// Decodes every access unit.
pub fn decode(gpu: &Gpu, units: &[&[u8]]) {
    gpu.stream().context().bind_to_thread().unwrap();
    // SAFETY: the functions have these types in cuviddec.h and nvcuvid.h, which also require the structs to
    // be zeroed. The loop's state outlives the parser, which is destroyed before this function returns.
    // Access units are only read during the call that they are passed to.
    unsafe {
        let library = Library::new("libnvcuvid.so.1").unwrap();
        let create_parser: Symbol<'_, Create<CUVIDPARSERPARAMS>> =
            library.get(b"cuvidCreateVideoParser\0").unwrap();
        let parse: Symbol<'_, With<CUVIDSOURCEDATAPACKET>> = library.get(b"cuvidParseVideoData\0").unwrap();
        let destroy_parser: Symbol<'_, Destroy> = library.get(b"cuvidDestroyVideoParser\0").unwrap();
        let map: Symbol<'_, Map> = library.get(b"cuvidMapVideoFrame64\0").unwrap();
        let unmap: Symbol<'_, Unmap> = library.get(b"cuvidUnmapVideoFrame64\0").unwrap();
        let destroy: Symbol<'_, Destroy> = library.get(b"cuvidDestroyDecoder\0").unwrap();
        let mut state = Loop {
            create: library.get(b"cuvidCreateDecoder\0").unwrap(),
            decode: library.get(b"cuvidDecodePicture\0").unwrap(),
            decoder: ptr::null_mut(),
            last: -1,
        };
        let mut parameters: CUVIDPARSERPARAMS = zeroed();
        parameters.CodecType = cudaVideoCodec::cudaVideoCodec_H264;
        parameters.ulMaxNumDecodeSurfaces = 1;
        parameters.pUserData = (&raw mut state).cast();
        parameters.pfnSequenceCallback = Some(sequence);
        parameters.pfnDecodePicture = Some(picture);
        let mut parser = ptr::null_mut();
        assert_eq!(create_parser(&mut parser, &mut parameters), 0, "cuvidCreateVideoParser");
        for unit in units {
            let mut packet: CUVIDSOURCEDATAPACKET = zeroed();
            packet.flags = CUvideopacketflags::CUVID_PKT_ENDOFPICTURE as c_ulong;
            packet.payload_size = unit.len() as c_ulong;
            packet.payload = unit.as_ptr();
            assert_eq!(parse(parser, &mut packet), 0, "cuvidParseVideoData");
        }
        assert_eq!(destroy_parser(parser), 0, "cuvidDestroyVideoParser");
        let mut processing: CUVIDPROCPARAMS = zeroed();
        processing.progressive_frame = 1;
        processing.output_stream = gpu.stream().cu_stream().cast();
        let (mut address, mut pitch) = (0, 0);
        let code = map(state.decoder, state.last, &mut address, &mut pitch, &mut processing);
        assert_eq!(code, 0, "cuvidMapVideoFrame64");
        gpu.stream().synchronize().unwrap();
        assert_eq!(unmap(state.decoder, address), 0, "cuvidUnmapVideoFrame64");
        assert_eq!(destroy(state.decoder), 0, "cuvidDestroyDecoder");
    }
}

/// # Safety
/// `state` must point to the loop, as the parser passes it.
unsafe extern "C" fn sequence(state: *mut c_void, format: *mut CUVIDEOFORMAT) -> c_int {
    // SAFETY: the caller guarantees it. Only integers of the format are read, and the enums that are set are
    // valid.
    unsafe {
        let state = &mut *state.cast::<Loop<'_>>();
        let (width, height) = ((*format).coded_width, (*format).coded_height);
        let surfaces = c_uint::from((*format).min_num_decode_surfaces) + 2;
        let mut info: CUVIDDECODECREATEINFO = zeroed();
        (info.ulWidth, info.ulHeight) = (width.into(), height.into());
        (info.ulMaxWidth, info.ulMaxHeight) = (width.into(), height.into());
        (info.ulTargetWidth, info.ulTargetHeight) = (width.into(), height.into());
        info.ulNumDecodeSurfaces = surfaces.into();
        info.ulNumOutputSurfaces = 1;
        info.CodecType = cudaVideoCodec::cudaVideoCodec_H264;
        info.ChromaFormat = cudaVideoChromaFormat::cudaVideoChromaFormat_420;
        info.OutputFormat = cudaVideoSurfaceFormat_enum::cudaVideoSurfaceFormat_NV12;
        let code = (state.create)(&mut state.decoder, &mut info);
        if code == 0 { surfaces as c_int } else { 0 }
    }
}

/// # Safety
/// `state` must point to the loop, as the parser passes it.
unsafe extern "C" fn picture(state: *mut c_void, parameters: *mut CUVIDPICPARAMS) -> c_int {
    // SAFETY: the caller guarantees it.
    unsafe {
        let state = &mut *state.cast::<Loop<'_>>();
        state.last = (*parameters).CurrPicIdx;
        c_int::from((state.decode)(state.decoder, parameters) == 0)
    }
}
