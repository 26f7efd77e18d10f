//! A program that encodes frames as it would on a device, with one registered frame and one bitstream buffer.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ffi::c_void;
use std::mem::{MaybeUninit, zeroed};

use nvidia_video_codec_sdk::sys::nvEncodeAPI::*;

use crate::stage::{Cuda, Handle, functions, made, ok, open};

functions! { Nvenc:
    fn NvEncodeAPIGetMaxSupportedVersion(version: *mut u32);
    fn NvEncodeAPICreateInstance(list: *mut NV_ENCODE_API_FUNCTION_LIST);
}

/// Bytes from one row to the next.
pub const PITCH: u32 = 1536;

type List = NV_ENCODE_API_FUNCTION_LIST;

/// Opens a session for the current context. Returns it with the library's functions.
pub fn session(cuda: &Cuda) -> Result<(*mut c_void, List), i32> {
    let nvenc = Nvenc(open());
    assert_eq!(made(|version| nvenc.NvEncodeAPIGetMaxSupportedVersion(version)), 12 << 4 | 1);
    // SAFETY: zeros are valid in every field of this C struct.
    let mut list: List = unsafe { zeroed() };
    list.version = NV_ENCODE_API_FUNCTION_LIST_VER;
    ok(nvenc.NvEncodeAPICreateInstance(&raw mut list));
    // SAFETY: as above.
    let mut parameters: NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS = unsafe { zeroed() };
    parameters.version = NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER;
    parameters.deviceType = NV_ENC_DEVICE_TYPE::NV_ENC_DEVICE_TYPE_CUDA;
    parameters.device = std::ptr::without_provenance_mut(made(|context| cuda.cuCtxGetCurrent(context)));
    parameters.apiVersion = NVENCAPI_VERSION;
    let mut encoder = std::ptr::null_mut();
    // SAFETY: the function comes from the list and is declared as in nvEncodeAPI.h.
    match unsafe { list.nvEncOpenEncodeSessionEx.unwrap()(&raw mut parameters, &raw mut encoder) } as i32 {
        0 => Ok((encoder, list)),
        status => Err(status),
    }
}

pub struct Coded {
    pub bytes: Vec<u8>,
    pub keyframe: bool,
    pub timestamp: u64,
}

type Change = fn(&mut NV_ENC_INITIALIZE_PARAMS, &mut NV_ENC_CONFIG);

pub struct Recorder {
    pub cuda: Cuda,
    pub stream: Handle,
    pub memory: u64,
    pub list: List,
    pub encoder: *mut c_void,
    width: u32,
    height: u32,
    change: Change,
    registered: *mut c_void,
    mapped: *mut c_void,
    output: *mut c_void,
}

/// Calls a function from the list.
macro_rules! call {
    ($self:ident.$function:ident($($argument:expr),*)) => {{
        let function = $self.list.$function.unwrap();
        // SAFETY: the function comes from the list, and its arguments are as in nvEncodeAPI.h.
        unsafe { function($self.encoder, $($argument),*) as i32 }
    }};
}

impl Recorder {
    pub fn new(width: u32, height: u32, change: Change) -> Self {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        let memory = cuda.memory((PITCH * height * 3 / 2) as usize);
        let (encoder, list) = session(&cuda).unwrap();
        let null = std::ptr::null_mut();
        let mut recorder = Self {
            cuda,
            stream,
            memory,
            list,
            encoder,
            width,
            height,
            change,
            registered: null,
            mapped: null,
            output: null,
        };
        recorder.prepare();
        let mut handle = stream;
        let at: NV_ENC_CUSTREAM_PTR = (&raw mut handle).cast();
        ok(call!(recorder.nvEncSetIOCudaStreams(at, at)));
        recorder
    }

    /// Opens another session, whose streams are not set.
    pub fn reopen(&mut self) {
        (self.encoder, self.list) = session(&self.cuda).unwrap();
        self.prepare();
    }

    fn prepare(&mut self) {
        let mut preset = MaybeUninit::<NV_ENC_PRESET_CONFIG>::zeroed();
        // SAFETY: zeros are valid in every field of this C struct except for the one that is written here.
        let mut preset = unsafe {
            let frame = NV_ENC_PARAMS_FRAME_FIELD_MODE::NV_ENC_PARAMS_FRAME_FIELD_MODE_FRAME;
            (&raw mut (*preset.as_mut_ptr()).presetCfg.frameFieldMode).write(frame);
            preset.assume_init()
        };
        preset.version = NV_ENC_PRESET_CONFIG_VER;
        preset.presetCfg.version = NV_ENC_CONFIG_VER;
        let tuning = NV_ENC_TUNING_INFO::NV_ENC_TUNING_INFO_ULTRA_LOW_LATENCY;
        let (codec, p4) = (NV_ENC_CODEC_H264_GUID, NV_ENC_PRESET_P4_GUID);
        ok(call!(self.nvEncGetEncodePresetConfigEx(codec, p4, tuning, &raw mut preset)));
        let mut config = preset.presetCfg;
        config.rcParams.averageBitRate = 3_000_000;
        // SAFETY: as above.
        let mut parameters: NV_ENC_INITIALIZE_PARAMS = unsafe { zeroed() };
        parameters.version = NV_ENC_INITIALIZE_PARAMS_VER;
        (parameters.encodeGUID, parameters.presetGUID) = (codec, p4);
        (parameters.encodeWidth, parameters.encodeHeight) = (self.width, self.height);
        (parameters.darWidth, parameters.darHeight) = (self.width, self.height);
        (parameters.frameRateNum, parameters.frameRateDen) = (30, 1);
        parameters.enablePTD = 1;
        parameters.tuningInfo = tuning;
        (self.change)(&mut parameters, &mut config);
        parameters.encodeConfig = &raw mut config;
        ok(call!(self.nvEncInitializeEncoder(&raw mut parameters)));

        self.registered = self.register(self.memory, PITCH).unwrap();
        // SAFETY: as above.
        let mut map: NV_ENC_MAP_INPUT_RESOURCE = unsafe { zeroed() };
        map.version = NV_ENC_MAP_INPUT_RESOURCE_VER;
        map.registeredResource = self.registered;
        ok(call!(self.nvEncMapInputResource(&raw mut map)));
        self.mapped = map.mappedResource;
        // SAFETY: as above.
        let mut output: NV_ENC_CREATE_BITSTREAM_BUFFER = unsafe { zeroed() };
        output.version = NV_ENC_CREATE_BITSTREAM_BUFFER_VER;
        ok(call!(self.nvEncCreateBitstreamBuffer(&raw mut output)));
        self.output = output.bitstreamBuffer;
    }

    pub fn register(&self, address: u64, pitch: u32) -> Result<*mut c_void, i32> {
        // SAFETY: as above; the enumerations of formats and of usages both have a zero.
        let mut resource: NV_ENC_REGISTER_RESOURCE = unsafe { zeroed() };
        resource.version = NV_ENC_REGISTER_RESOURCE_VER;
        resource.resourceType = NV_ENC_INPUT_RESOURCE_TYPE::NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
        (resource.width, resource.height, resource.pitch) = (self.width, self.height, pitch);
        resource.resourceToRegister = std::ptr::without_provenance_mut(address as usize);
        resource.bufferFormat = NV_ENC_BUFFER_FORMAT::NV_ENC_BUFFER_FORMAT_NV12;
        match call!(self.nvEncRegisterResource(&raw mut resource)) {
            0 => Ok(resource.registeredResource),
            status => Err(status),
        }
    }

    /// Writes a frame of packed rows to the registered memory.
    pub fn write(&self, nv12: &[u8]) {
        for (y, row) in nv12.chunks(self.width as usize).enumerate() {
            self.cuda.write(self.memory + y as u64 * u64::from(PITCH), row, self.stream);
        }
    }

    /// Submits the frame for encoding.
    pub fn submit(&self, timestamp: u64, flags: u32, change: impl FnOnce(&mut NV_ENC_PIC_PARAMS)) -> i32 {
        let mut parameters = MaybeUninit::<NV_ENC_PIC_PARAMS>::zeroed();
        // SAFETY: as above; the field that must not be zero is written.
        let mut parameters = unsafe {
            (&raw mut (*parameters.as_mut_ptr()).pictureStruct)
                .write(NV_ENC_PIC_STRUCT::NV_ENC_PIC_STRUCT_FRAME);
            parameters.assume_init()
        };
        parameters.version = NV_ENC_PIC_PARAMS_VER;
        (parameters.inputWidth, parameters.inputHeight) = (self.width, self.height);
        (parameters.inputPitch, parameters.encodePicFlags) = (PITCH, flags);
        parameters.inputTimeStamp = timestamp;
        (parameters.inputBuffer, parameters.outputBitstream) = (self.mapped, self.output);
        parameters.bufferFmt = NV_ENC_BUFFER_FORMAT::NV_ENC_BUFFER_FORMAT_NV12;
        change(&mut parameters);
        call!(self.nvEncEncodePicture(&raw mut parameters))
    }

    #[track_caller]
    pub fn encode(&mut self, timestamp: u64, flags: u32) -> Coded {
        ok(self.submit(timestamp, flags, |_| {}));
        // `pictureStruct` must not be zero, so the struct counts as initialised only once the encoder has set
        // it.
        let mut lock = MaybeUninit::<NV_ENC_LOCK_BITSTREAM>::zeroed();
        let at = lock.as_mut_ptr();
        // SAFETY: these are fields of that struct.
        unsafe {
            (&raw mut (*at).version).write(NV_ENC_LOCK_BITSTREAM_VER);
            (&raw mut (*at).outputBitstream).write(self.output);
        }
        ok(call!(self.nvEncLockBitstream(at)));
        // SAFETY: the encoder has set the field that must not be zero, and its bytes stay until they are
        // unlocked.
        let (lock, bytes) = unsafe {
            let lock = lock.assume_init();
            let data: *const u8 = lock.bitstreamBufferPtr.cast();
            (lock, std::slice::from_raw_parts(data, lock.bitstreamSizeInBytes as usize).to_vec())
        };
        ok(call!(self.nvEncUnlockBitstream(self.output)));
        // SAFETY: the stand-in keeps the memory mapped, but overwrites it so that reading too late is
        // noticed.
        assert_eq!(unsafe { lock.bitstreamBufferPtr.cast::<u8>().read() }, 0xB7);
        let keyframe = lock.pictureType == NV_ENC_PIC_TYPE::NV_ENC_PIC_TYPE_IDR;
        Coded { bytes, keyframe, timestamp: lock.outputTimeStamp }
    }

    pub fn unmap(&mut self) -> i32 {
        call!(self.nvEncUnmapInputResource(self.mapped))
    }

    pub fn destroy(&mut self) -> i32 {
        call!(self.nvEncDestroyEncoder())
    }

    pub fn close(&mut self) {
        let end = self.submit(0, 8, |parameters| {
            parameters.inputBuffer = std::ptr::null_mut();
            parameters.outputBitstream = std::ptr::null_mut();
        });
        ok(end);
        ok(self.unmap());
        ok(call!(self.nvEncUnregisterResource(self.registered)));
        ok(call!(self.nvEncDestroyBitstreamBuffer(self.output)));
        ok(self.destroy());
        ok(self.cuda.cuMemFree_v2(self.memory));
        ok(self.cuda.cuStreamDestroy_v2(self.stream));
        self.cuda.close();
    }
}
