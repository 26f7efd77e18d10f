//! Finds what this machine offers for live video: its devices, their decoders and encoders, and the backend
//! that serves each role.

use candle_core::Device;
#[cfg(feature = "cuda")]
use cutrickle_error::chain;
use cutrickle_media::VideoCodec;
use serde::Serialize;

use crate::{Backends, Role};

/// The result of the probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Whether the program was built with the feature `cuda`.
    pub built_with_cuda: bool,
    /// Why no GPU can be used, if none can.
    pub no_gpu: Option<String>,
    /// The GPUs.
    pub devices: Vec<DeviceFindings>,
    /// The backend that decodes video in CPU memory.
    pub host_decoder: String,
    /// The backend that encodes video in CPU memory.
    pub host_encoder: String,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceFindings {
    /// Its name, as `--device` takes it.
    pub device: String,
    /// The driver's name for it.
    pub name: String,
    /// Major and minor version, such as `9.0`.
    pub compute_capability: String,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// What its decoder supports.
    pub decodes: Vec<Decodes>,
    /// Why its decoder cannot be used, if it cannot.
    pub no_decoder: Option<String>,
    /// The codecs its encoder supports.
    pub encodes: Vec<String>,
    /// Why its encoder cannot be used, if it cannot.
    pub no_encoder: Option<String>,
    /// The backend that will decode H.264.
    pub video_decode: String,
    /// The backend that will encode H.264.
    pub video_encode: String,
}

/// A kind of video that a GPU can decode.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decodes {
    /// `H264` or `H265`.
    pub codec: String,
    /// Bits per sample.
    pub bits: u32,
    /// The largest width and height in pixels.
    pub max_size: (u32, u32),
}

/// Probes this machine. Briefly opens every GPU and a session of its encoder.
pub fn machine() -> Machine {
    let backends = Backends::builtin();
    let mut machine = Machine {
        built_with_cuda: cfg!(feature = "cuda"),
        no_gpu: None,
        devices: Vec::new(),
        host_decoder: on_cpu(&backends, Role::VideoDecode),
        host_encoder: on_cpu(&backends, Role::VideoEncode),
    };
    #[cfg(feature = "cuda")]
    match cutrickle_cuda::Gpu::count() {
        Ok(0) => machine.no_gpu = Some("the NVIDIA driver knows of no device".into()),
        Ok(count) => {
            for ordinal in 0..count {
                match device(ordinal, &machine) {
                    Ok(found) => machine.devices.push(found),
                    Err(e) => machine.no_gpu = Some(format!("cuda:{ordinal}: {}", chain(&e))),
                }
            }
        }
        Err(e) => machine.no_gpu = Some(chain(&e).to_string()),
    }
    #[cfg(not(feature = "cuda"))]
    {
        machine.no_gpu = Some(cutrickle_frame::WITHOUT_CUDA.into());
    }
    machine
}

/// The first CPU backend in this role for H.264.
fn on_cpu(backends: &Backends, role: Role) -> String {
    let name = match role {
        Role::VideoEncode => backends.first_video_encoder(VideoCodec::H264, &Device::Cpu),
        _ => backends.first_video_decoder(VideoCodec::H264, &Device::Cpu),
    };
    let rows = backends.rows().into_iter().filter(|row| row.role == role);
    rows.map(|row| row.name).find(|row| name.is_some_and(|name| row.starts_with(name))).unwrap_or_default()
}

#[cfg(feature = "cuda")]
fn device(ordinal: usize, machine: &Machine) -> cutrickle_cuda::Result<DeviceFindings> {
    use cutrickle_cuda::{Gpu, nvdec, nvenc};

    let gpu = Gpu::open(ordinal)?;
    let (major, minor) = gpu.compute_capability()?;
    let mut decodes = Vec::new();
    let mut no_decoder = None;
    for codec in VideoCodec::ALL {
        for bits in [8, 10] {
            match nvdec::capabilities(&gpu, codec, bits) {
                Ok(found) => decodes.push(Decodes {
                    codec: format!("{codec:?}"),
                    bits,
                    max_size: (found.max_width, found.max_height),
                }),
                Err(e) if e.is_unsupported() => {}
                Err(e) => no_decoder = Some(chain(&e).to_string()),
            }
        }
    }
    let (encodes, no_encoder) = match nvenc::codecs(&gpu) {
        Ok(codecs) => (codecs.iter().map(|codec| format!("{codec:?}")).collect::<Vec<_>>(), None),
        Err(e) => (Vec::new(), Some(chain(&e).to_string())),
    };
    let decodes_h264 = decodes.iter().any(|kind| kind.codec == "H264");
    let encodes_h264 = encodes.iter().any(|codec| codec == "H264");
    Ok(DeviceFindings {
        device: format!("cuda:{ordinal}"),
        name: gpu.name()?,
        compute_capability: format!("{major}.{minor}"),
        memory_mb: gpu.memory()?.1 >> 20,
        video_decode: if decodes_h264 {
            crate::video::nvdec::BACKEND.into()
        } else {
            machine.host_decoder.clone()
        },
        video_encode: if encodes_h264 {
            crate::video::nvenc::BACKEND.into()
        } else {
            machine.host_encoder.clone()
        },
        decodes,
        no_decoder,
        encodes,
        no_encoder,
    })
}
