//! A session of the library with its input picture and its bitstream buffer.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    _NV_ENC_BUFFER_FORMAT as BufferFormat, _NV_ENC_BUFFER_USAGE as BufferUsage, _NV_ENC_CAPS as Capability,
    _NV_ENC_DEVICE_TYPE as DeviceType, _NV_ENC_INPUT_RESOURCE_TYPE as ResourceType,
    _NV_ENC_PIC_FLAGS as PicFlags, _NV_ENC_PIC_STRUCT as PicStruct, _NV_ENC_PIC_TYPE as PicType, GUID,
    NV_ENC_CAPS_PARAM, NV_ENC_CAPS_PARAM_VER, NV_ENC_CREATE_BITSTREAM_BUFFER,
    NV_ENC_CREATE_BITSTREAM_BUFFER_VER, NV_ENC_LOCK_BITSTREAM, NV_ENC_LOCK_BITSTREAM_VER,
    NV_ENC_MAP_INPUT_RESOURCE, NV_ENC_MAP_INPUT_RESOURCE_VER, NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS,
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER, NV_ENC_PIC_PARAMS, NV_ENC_PIC_PARAMS_VER,
    NV_ENC_RECONFIGURE_PARAMS, NV_ENC_RECONFIGURE_PARAMS_VER, NV_ENC_REGISTER_RESOURCE,
    NV_ENC_REGISTER_RESOURCE_VER, NVENCAPI_VERSION,
};

use super::api::{Nvenc, OPEN};
use super::config::{self, Parameters, zeroed};
use cutrickle_media::VideoCodec;

use super::{Config, Encoded, guid};
use crate::kernels::SurfaceFormat;
use crate::{Error, Gpu, Picture, Result};

pub(super) struct Session {
    api: &'static Nvenc,
    gpu: Arc<Gpu>,
    raw: *mut c_void,
    parameters: Parameters,
    input: Option<Picture>,
    registered: *mut c_void,
    bitstream: *mut c_void,
    /// The stream's handle, whose address NVENC holds.
    _stream: Box<*mut c_void>,
    initialized: bool,
    pictures: u32,
}

// SAFETY: the session is only reached through `&mut self` and is not tied to a thread. Each call is made with
// the device's context current.
unsafe impl Send for Session {}

impl Session {
    pub(super) fn open(gpu: &Arc<Gpu>, config: &Config) -> Result<Self> {
        let mut session = Self::bare(gpu)?;
        session.check(config)?;
        session.initialize(config)?;
        session.register(config)?;
        session.create_bitstream()?;
        Ok(session)
    }

    /// Opens a session without initialising it.
    fn bare(gpu: &Arc<Gpu>) -> Result<Self> {
        let api = Nvenc::get()?;
        gpu.bind()?;
        // SAFETY: numbers, addresses, and an enum that has a variant 0.
        let mut open: NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS = unsafe { zeroed() };
        open.version = NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER;
        open.deviceType = DeviceType::NV_ENC_DEVICE_TYPE_CUDA;
        open.device = gpu.context();
        open.apiVersion = NVENCAPI_VERSION;
        let mut raw = ptr::null_mut();
        // SAFETY: the library reads only this struct and writes only this address.
        let code = unsafe { (api.open)(&mut open, &mut raw) };
        let session = Self {
            api,
            gpu: Arc::clone(gpu),
            raw,
            parameters: Parameters::new(),
            input: None,
            registered: ptr::null_mut(),
            bitstream: ptr::null_mut(),
            _stream: Box::new(gpu.stream().cu_stream().cast()),
            initialized: false,
            pictures: 0,
        };
        // According to the guide, even a refused session must be destroyed if it was given an address.
        // SAFETY: the last error of a refused session is not queried.
        unsafe { api.checked(OPEN, code, ptr::null_mut()) }?;
        Ok(session)
    }

    fn checked(&self, call: &str, code: c_int) -> Result<()> {
        // SAFETY: the session lives as long as this struct.
        unsafe { self.api.checked(call, code, self.raw) }
    }

    fn codecs(&self) -> Result<Vec<GUID>> {
        let mut count = 0;
        // SAFETY: the session is alive, and one number is written.
        self.checked("nvEncGetEncodeGUIDCount", unsafe { (self.api.codec_count)(self.raw, &mut count) })?;
        let mut guids = vec![GUID::default(); count as usize];
        let mut written = 0;
        // SAFETY: the session is alive, and at most `count` identifiers are written to an array of this
        // length.
        let code = unsafe { (self.api.codecs)(self.raw, guids.as_mut_ptr(), count, &mut written) };
        self.checked("nvEncGetEncodeGUIDs", code)?;
        guids.truncate(written as usize);
        Ok(guids)
    }

    fn capability(&self, codec: VideoCodec, capability: Capability) -> Result<u32> {
        // SAFETY: numbers and an enum that has a variant 0.
        let mut parameters: NV_ENC_CAPS_PARAM = unsafe { zeroed() };
        parameters.version = NV_ENC_CAPS_PARAM_VER;
        parameters.capsToQuery = capability;
        let mut value = 0;
        // SAFETY: the session is alive. The library reads only this struct and writes only this number.
        let code = unsafe { (self.api.capability)(self.raw, guid(codec), &mut parameters, &mut value) };
        self.checked("nvEncGetEncodeCaps", code)?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// Checks that this GPU encodes such pictures.
    fn check(&self, config: &Config) -> Result<()> {
        let Config { codec, width, height, .. } = *config;
        if !self.codecs()?.contains(&guid(codec)) {
            return Err(Error::unsupported(format!("this GPU encodes no {}", codec.title())));
        }
        let of = |capability| self.capability(codec, capability);
        let widths = of(Capability::NV_ENC_CAPS_WIDTH_MIN)?..=of(Capability::NV_ENC_CAPS_WIDTH_MAX)?;
        let heights = of(Capability::NV_ENC_CAPS_HEIGHT_MIN)?..=of(Capability::NV_ENC_CAPS_HEIGHT_MAX)?;
        if widths.contains(&width) && heights.contains(&height) {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{} of {width}x{height}: this GPU encodes {}x{} to {}x{}",
            codec.title(),
            widths.start(),
            heights.start(),
            widths.end(),
            heights.end()
        )))
    }

    fn initialize(&mut self, config: &Config) -> Result<()> {
        let preset = config::preset(config.preset);
        // SAFETY: the session is alive, and the library fills in the preset's configuration.
        let code = unsafe {
            (self.api.preset)(self.raw, guid(config.codec), preset, config::TUNING, self.parameters.preset())
        };
        self.checked("nvEncGetEncodePresetConfigEx", code)?;
        self.parameters.set(config);
        let mut parameters = self.parameters.initialize(config);
        // SAFETY: the session is alive. The parameters and the configuration that they refer to are read
        // during the call.
        let code = unsafe { (self.api.initialize)(self.raw, &mut parameters) };
        self.checked("nvEncInitializeEncoder", code)?;
        self.initialized = true;
        let stream = (&raw mut *self._stream).cast::<c_void>();
        // SAFETY: the session is alive. The address is that of the stream's handle, which stays in place as
        // long as the session lives, and so does the stream.
        let code = unsafe { (self.api.streams)(self.raw, stream, stream) };
        self.checked("nvEncSetIOCudaStreams", code)
    }

    pub(super) fn reconfigure(&mut self, config: &Config) -> Result<()> {
        self.gpu.bind()?;
        self.parameters.set(config);
        // SAFETY: numbers, addresses, and enums that have a variant 0.
        let mut parameters: NV_ENC_RECONFIGURE_PARAMS = unsafe { zeroed() };
        parameters.version = NV_ENC_RECONFIGURE_PARAMS_VER;
        parameters.reInitEncodeParams = self.parameters.initialize(config);
        // SAFETY: the session is initialised, and the parameters are read during the call.
        let code = unsafe { (self.api.reconfigure)(self.raw, &mut parameters) };
        self.checked("nvEncReconfigureEncoder", code)
    }

    /// Creates and registers the input.
    fn register(&mut self, config: &Config) -> Result<()> {
        let input = Picture::outside_of_pool(&self.gpu, SurfaceFormat::Nv12, config.width, config.height)?;
        // SAFETY: numbers, addresses, and enums that have a variant 0.
        let mut register: NV_ENC_REGISTER_RESOURCE = unsafe { zeroed() };
        register.version = NV_ENC_REGISTER_RESOURCE_VER;
        register.resourceType = ResourceType::NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR;
        register.width = config.width;
        register.height = config.height;
        register.pitch = u32::try_from(input.pitch()).unwrap_or(u32::MAX);
        register.bufferFormat = BufferFormat::NV_ENC_BUFFER_FORMAT_NV12;
        register.bufferUsage = BufferUsage::NV_ENC_INPUT_IMAGE;
        input.read(|surface| {
            register.resourceToRegister = ptr::with_exposed_provenance_mut(surface.luma as usize);
            // SAFETY: the session is initialised. The address is that of the input's memory, which is kept
            // until it is no longer registered.
            let code = unsafe { (self.api.register)(self.raw, &mut register) };
            self.checked("nvEncRegisterResource", code)
        })?;
        self.registered = register.registeredResource;
        self.input = Some(input);
        Ok(())
    }

    fn create_bitstream(&mut self) -> Result<()> {
        // SAFETY: numbers, addresses, and an enum that has a variant 0.
        let mut create: NV_ENC_CREATE_BITSTREAM_BUFFER = unsafe { zeroed() };
        create.version = NV_ENC_CREATE_BITSTREAM_BUFFER_VER;
        // SAFETY: the session is initialised, and the library reads and writes only this struct.
        let code = unsafe { (self.api.create_bitstream)(self.raw, &mut create) };
        self.checked("nvEncCreateBitstreamBuffer", code)?;
        self.bitstream = create.bitstreamBuffer;
        Ok(())
    }

    pub(super) fn encode(
        &mut self,
        idr: bool,
        timestamp: u64,
        fill: impl FnOnce(&mut Picture) -> Result<()>,
    ) -> Result<Encoded> {
        self.gpu.bind()?;
        let Some(input) = &mut self.input else { return Err(Error::new("a session without input")) };
        fill(input)?;
        let (pitch, width, height) = (input.pitch(), input.width(), input.height());
        // SAFETY: numbers, addresses, and an enum that has a variant 0.
        let mut map: NV_ENC_MAP_INPUT_RESOURCE = unsafe { zeroed() };
        map.version = NV_ENC_MAP_INPUT_RESOURCE_VER;
        map.registeredResource = self.registered;
        // SAFETY: the session is initialised and the resource is registered.
        self.checked("nvEncMapInputResource", unsafe { (self.api.map)(self.raw, &mut map) })?;

        // SAFETY: all zeros are a valid value, because it consists of numbers, addresses, and unions of such.
        // The enums are set.
        let mut picture: MaybeUninit<NV_ENC_PIC_PARAMS> = MaybeUninit::zeroed();
        let raw = picture.as_mut_ptr();
        // SAFETY: this writes fields of memory of this type, and only the library reads the whole.
        let code = unsafe {
            (*raw).version = NV_ENC_PIC_PARAMS_VER;
            (*raw).inputWidth = width;
            (*raw).inputHeight = height;
            (*raw).inputPitch = u32::try_from(pitch).unwrap_or(u32::MAX);
            (*raw).encodePicFlags = if idr {
                PicFlags::NV_ENC_PIC_FLAG_FORCEIDR as u32 | PicFlags::NV_ENC_PIC_FLAG_OUTPUT_SPSPPS as u32
            } else {
                0
            };
            (*raw).frameIdx = self.pictures;
            (*raw).inputTimeStamp = timestamp;
            (*raw).inputBuffer = map.mappedResource;
            (*raw).outputBitstream = self.bitstream;
            (&raw mut (*raw).bufferFmt).write(BufferFormat::NV_ENC_BUFFER_FORMAT_NV12);
            (&raw mut (*raw).pictureStruct).write(PicStruct::NV_ENC_PIC_STRUCT_FRAME);
            (self.api.encode)(self.raw, raw)
        };
        self.pictures = self.pictures.wrapping_add(1);
        let encoded = self.checked("nvEncEncodePicture", code).and_then(|()| self.take());
        // SAFETY: the resource is mapped, and its picture has been encoded or refused.
        let unmapped = unsafe { (self.api.unmap)(self.raw, map.mappedResource) };
        let encoded = encoded?;
        self.checked("nvEncUnmapInputResource", unmapped)?;
        Ok(encoded)
    }

    /// Waits for the bitstream and copies it.
    fn take(&self) -> Result<Encoded> {
        let mut lock = MaybeUninit::<NV_ENC_LOCK_BITSTREAM>::zeroed();
        let raw = lock.as_mut_ptr();
        // SAFETY: the session is initialised and owns the buffer. Of the library's output, only numbers and
        // an address are read. The picture's type is a C enum that may have any value, so it is read as a
        // number. The bytes stay valid until the buffer is unlocked.
        unsafe {
            (*raw).version = NV_ENC_LOCK_BITSTREAM_VER;
            (*raw).outputBitstream = self.bitstream;
            self.checked("nvEncLockBitstream", (self.api.lock)(self.raw, &mut lock))?;
            let (bytes, length) =
                ((*raw).bitstreamBufferPtr.cast::<u8>(), (*raw).bitstreamSizeInBytes as usize);
            let kind = (&raw const (*raw).pictureType).cast::<u32>().read();
            let data =
                if bytes.is_null() { Vec::new() } else { std::slice::from_raw_parts(bytes, length).to_vec() };
            self.checked("nvEncUnlockBitstream", (self.api.unlock)(self.raw, self.bitstream))?;
            Ok(Encoded { data, keyframe: kind == PicType::NV_ENC_PIC_TYPE_IDR as u32 })
        }
    }

    /// Informs the library that no more pictures follow, which it requires before it is destroyed.
    fn end(&self) -> Result<()> {
        let mut picture = MaybeUninit::<NV_ENC_PIC_PARAMS>::zeroed();
        let raw = picture.as_mut_ptr();
        // SAFETY: as in `encode`. With this flag, nothing else is read.
        let code = unsafe {
            (*raw).version = NV_ENC_PIC_PARAMS_VER;
            (*raw).encodePicFlags = PicFlags::NV_ENC_PIC_FLAG_EOS as u32;
            (self.api.encode)(self.raw, raw)
        };
        self.checked("nvEncEncodePicture, at the end", code)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.raw.is_null() || self.gpu.bind().is_err() {
            return;
        }
        let mut first = if self.initialized { self.end() } else { Ok(()) };
        let mut note = |result: Result<()>| {
            if first.is_ok() {
                first = result;
            }
        };
        // SAFETY: the session owns each of these and releases it once. The session is destroyed last, and its
        // input's memory after that.
        unsafe {
            if !self.registered.is_null() {
                let code = (self.api.unregister)(self.raw, self.registered);
                note(self.checked("nvEncUnregisterResource", code));
            }
            if !self.bitstream.is_null() {
                let code = (self.api.destroy_bitstream)(self.raw, self.bitstream);
                note(self.checked("nvEncDestroyBitstreamBuffer", code));
            }
            let code = (self.api.destroy)(self.raw);
            note(self.api.checked("nvEncDestroyEncoder", code, ptr::null_mut()));
        }
        if let Err(e) = first {
            tracing::warn!("ending an encoder: {}", cutrickle_error::chain(&e));
        }
    }
}

pub(super) fn codecs(gpu: &Arc<Gpu>) -> Result<Vec<VideoCodec>> {
    let known = Session::bare(gpu)?.codecs()?;
    Ok(VideoCodec::ALL.into_iter().filter(|codec| known.contains(&guid(*codec))).collect())
}
