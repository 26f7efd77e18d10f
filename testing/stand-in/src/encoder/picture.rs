//! Takes frames and returns bitstreams.

use std::sync::{Arc, PoisonError};

use cutrickle_frame::I420;
use cutrickle_media::Size;
use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    NV_ENC_LOCK_BITSTREAM, NV_ENC_LOCK_BITSTREAM_VER, NV_ENC_PIC_PARAMS, NV_ENC_PIC_PARAMS_VER,
    NV_ENC_SEQUENCE_PARAM_PAYLOAD, NV_ENC_SEQUENCE_PARAM_PAYLOAD_VER,
};

use super::buffers::{Content, NV12, Registered};
use super::configuration::Configuration;
use super::session::{State, check_version, refuse, with};
use super::software::{self, Software, delimiter, is_parameter_set, units};
use super::{code, number, put, read, zero};
use crate::driver::context::Context;
use crate::driver::event::Mark;
use crate::driver::memory;
use crate::driver::stream::Fault;
use crate::guarded::FREED;
use crate::pointer::Out;
use crate::status::Answer;
use crate::table::{Handle, lock};

/// An encoded frame.
pub(super) struct Coded {
    bytes: Vec<u8>,
    keyframe: bool,
    timestamp: u64,
    duration: u64,
    number: u32,
    failed: bool,
}

/// An encoder and its place in the stream.
pub(super) struct Encoder {
    encoder: Box<dyn Software>,
    configuration: Configuration,
    /// How many frames have been encoded since the last IDR picture, counting it.
    since: u32,
    begun: bool,
}

const IDR_TYPE: u32 = 3;
const P_TYPE: u32 = 0;
const FRAME: u32 = 1;

impl Encoder {
    pub(super) fn new(configuration: Configuration) -> Answer<Self> {
        Ok(Self { encoder: software::open(&configuration)?, configuration, since: 0, begun: false })
    }

    /// The encoders on the CPU cannot be reconfigured, so a new one takes over with an IDR picture.
    pub(super) fn reconfigure(&mut self, configuration: Configuration, anew: bool) -> Answer {
        if anew || configuration.encoder != self.configuration.encoder {
            self.encoder = software::open(&configuration)?;
            self.begun = false;
        }
        self.configuration = configuration;
        Ok(())
    }

    fn encode(&mut self, picture: I420, order: &Order) -> Coded {
        let due = self.configuration.interval.is_some_and(|interval| self.since >= interval);
        let first = !self.begun;
        let codec = self.configuration.encoder.coding.codec;
        let encoded = self.encoder.encode(picture, order.idr || due || first);
        let Order { timestamp, duration, number, .. } = *order;
        let mut coded =
            Coded { bytes: Vec::new(), keyframe: false, timestamp, duration, number, failed: false };
        let Some((data, keyframe)) = encoded else {
            coded.failed = true;
            return coded;
        };
        self.begun = true;
        self.since = if keyframe { 1 } else { self.since + 1 };
        coded.keyframe = keyframe;
        let with_sets = self.configuration.repeat_sets || order.sets || first;
        if self.configuration.delimiters {
            coded.bytes.extend(delimiter(codec));
        }
        for unit in units(&data) {
            if with_sets || !is_parameter_set(codec, unit) {
                coded.bytes.extend([0, 0, 0, 1]);
                coded.bytes.extend_from_slice(unit);
            }
        }
        coded
    }
}

/// What the caller requested along with a frame.
struct Order {
    idr: bool,
    sets: bool,
    timestamp: u64,
    duration: u64,
    number: u32,
}

/// Reads a frame from device memory.
fn picture(context: &Context, from: &Registered, size: Size) -> Result<I420, Fault> {
    let range = memory::range(context, from.address, from.size())?;
    let fault = |_| Fault { what: "a picture that is none".to_owned(), status: code::GENERIC };
    let mut picture = I420::new(size.width, size.height).map_err(fault)?;
    let row = |y: usize, length: usize| {
        // SAFETY: the rows lie in the range, which stays mapped, and are no longer than the registered ones.
        unsafe { std::slice::from_raw_parts(range.host().add(y * from.pitch as usize), length) }
    };
    let [luma, cb, cr] = picture.planes_mut();
    let width = luma.width;
    for (y, to) in luma.data.chunks_mut(width).enumerate() {
        to.copy_from_slice(row(y, width));
    }
    let chroma = cb.width;
    for (y, (cb, cr)) in cb.data.chunks_mut(chroma).zip(cr.data.chunks_mut(chroma)).enumerate() {
        let pairs = row(from.height as usize + y, 2 * chroma);
        for ((pair, cb), cr) in pairs.chunks(2).zip(cb).zip(cr) {
            (*cb, *cr) = (pair[0], pair[1]);
        }
    }
    Ok(picture)
}

/// The bits of `NV_ENC_PIC_FLAGS`.
const FORCE_INTRA: u32 = 1;
const FORCE_IDR: u32 = 2;
const OUTPUT_SETS: u32 = 4;
const END: u32 = 8;

pub(super) extern "C" fn encode(encoder: Handle, at: *const NV_ENC_PIC_PARAMS) -> i32 {
    let name = "nvEncEncodePicture";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_PIC_PARAMS_VER)?;
        if !zero!(at, reserved1, reserved2, reservedBitFields, reserved3, reserved4, completionEvent) {
            return refuse(name, "reserved fields are not zero, or an event", code::INVALID_PARAM);
        }
        let mut state = lock(&session.state);
        if state.configuration.is_none() {
            return refuse(name, "not initialised", code::ENCODER_NOT_INITIALIZED);
        }
        let flags = read!(at, encodePicFlags);
        let (input, output) = (read!(at, inputBuffer).addr(), read!(at, outputBitstream).addr());
        if flags & END != 0 {
            if input != 0 || output != 0 {
                return refuse(name, "the end with a picture", code::INVALID_PARAM);
            }
            state.unfinished = false;
            return Ok(());
        }
        if flags & !(FORCE_INTRA | FORCE_IDR | OUTPUT_SETS) != 0 {
            return refuse(name, "flags that are not supported", code::UNSUPPORTED_PARAM);
        }
        submit(name, session.context, &mut state, at, (input, output), flags)
    })
}

/// Submits a frame to be encoded in the order of the streams.
fn submit(
    name: &'static str,
    context: &'static Context,
    state: &mut State,
    at: *const NV_ENC_PIC_PARAMS,
    (input, output): (Handle, Handle),
    flags: u32,
) -> Answer {
    let State { configuration, encoder, streams, registered, mapped, outputs, unfinished } = state;
    let (Some(configuration), Some(encoder)) = (configuration, encoder) else {
        return Err(code::ENCODER_NOT_INITIALIZED);
    };
    let Some((input_stream, output_stream)) = streams else {
        return refuse(
            name,
            "without nvEncSetIOCudaStreams it would use the NULL stream",
            code::INVALID_CALL,
        );
    };
    let Some((of, pictures)) = mapped.get_mut(&input) else {
        return refuse(name, "the input is not mapped", code::RESOURCE_NOT_MAPPED);
    };
    let Some(&from) = registered.get(of) else { return Err(code::RESOURCE_NOT_REGISTERED) };
    let Some(target) = outputs.get(&output) else {
        return refuse(name, "there is no such bitstream buffer", code::INVALID_PARAM);
    };
    let size = configuration.encoder.size;
    if Size::new(read!(at, inputWidth), read!(at, inputHeight)) != size {
        return refuse(name, "a picture of another size than the encoder's", code::INVALID_PARAM);
    }
    if from.width < size.width || from.height < size.height || read!(at, inputPitch) != from.pitch {
        return refuse(name, "another size or pitch than was registered", code::INVALID_PARAM);
    }
    if number!(at, bufferFmt) != NV12 || number!(at, pictureStruct) != FRAME {
        return refuse(name, "not a frame of NV12", code::INVALID_PARAM);
    }
    let mut content = lock(&target.content);
    if matches!(*content, Content::Awaited { .. } | Content::Locked(_)) {
        return refuse(name, "the bitstream buffer is in use", code::INVALID_CALL);
    }
    *content = Content::Awaited { from: input, coded: None };
    drop(content);
    *pictures += 1;
    *unfinished = true;

    let order = Order {
        idr: flags & (FORCE_IDR | FORCE_INTRA) != 0,
        sets: flags & OUTPUT_SETS != 0,
        timestamp: read!(at, inputTimeStamp),
        duration: read!(at, inputDuration),
        number: read!(at, frameIdx),
    };
    let (encoder, target) = (Arc::clone(encoder), Arc::clone(target));
    // If the stream fails it drops the operation, and the filler tells whoever is waiting for the bitstream.
    let filler = Filler { target, order: Some(order) };
    let (mark, reach) = Mark::new();
    input_stream.submit(move || {
        let mut filler = filler;
        let picture = picture(context, &from, size)?;
        if let Some(order) = filler.order.take() {
            let coded = lock(&encoder).encode(picture, &order);
            filler.fill(coded);
        }
        drop(reach);
        Ok(())
    });
    if !Arc::ptr_eq(input_stream, output_stream) {
        output_stream.submit(move || {
            mark.wait();
            Ok(())
        });
    }
    Ok(())
}

/// Fills a bitstream buffer. If it is dropped before, the buffer is marked as failed.
struct Filler {
    target: Arc<super::buffers::Output>,
    order: Option<Order>,
}

impl Filler {
    fn fill(&self, new: Coded) {
        if let Content::Awaited { coded, .. } = &mut *lock(&self.target.content) {
            *coded = Some(new);
        }
        self.target.filled.notify_all();
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Some(Order { timestamp, duration, number, .. }) = self.order.take() {
            let bytes = Vec::new();
            self.fill(Coded { bytes, keyframe: false, timestamp, duration, number, failed: true });
        }
    }
}

pub(super) extern "C" fn lock_output(encoder: Handle, at: *mut NV_ENC_LOCK_BITSTREAM) -> i32 {
    let name = "nvEncLockBitstream";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_LOCK_BITSTREAM_VER)?;
        if !zero!(at, reserved1, reserved2) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        const DO_NOT_WAIT: u32 = 1;
        let flags = number!(at, _bitfield_1);
        if flags & !DO_NOT_WAIT != 0 {
            return refuse(name, "flags that are not supported", code::UNSUPPORTED_PARAM);
        }
        let handle = read!(at.cast_const(), outputBitstream).addr();
        let output = lock(&session.state).outputs.get(&handle).cloned();
        let Some(output) = output else {
            return refuse(name, "there is no such bitstream buffer", code::INVALID_PARAM);
        };
        let mut content = lock(&output.content);
        let (from, coded) = loop {
            match &mut *content {
                Content::Awaited { from, coded } => {
                    if let Some(coded) = coded.take() {
                        break (*from, coded);
                    }
                    if flags & DO_NOT_WAIT != 0 {
                        return Err(code::LOCK_BUSY);
                    }
                }
                Content::Locked(_) => return refuse(name, "it is locked", code::INVALID_CALL),
                Content::Nothing | Content::Unlocked(_) => {
                    return refuse(name, "no picture was encoded to it", code::INVALID_CALL);
                }
            }
            content = output.filled.wait(content).unwrap_or_else(PoisonError::into_inner);
        };
        let fill = |at: *mut NV_ENC_LOCK_BITSTREAM, coded: &Coded| {
            put!(at, bitstreamBufferPtr, coded.bytes.as_ptr().cast_mut().cast());
            put!(at, bitstreamSizeInBytes, coded.bytes.len() as u32);
            put!(at, outputTimeStamp, coded.timestamp);
            put!(at, outputDuration, coded.duration);
            put!(at, frameIdx, coded.number);
            put!(at, hwEncodeStatus, 2);
            let kind = if coded.keyframe { IDR_TYPE } else { P_TYPE };
            // SAFETY: the caller's struct exists, since its version was read, and both fields are numbers of
            // four bytes.
            unsafe {
                (&raw mut (*at).pictureType).cast::<u32>().write_unaligned(kind);
                (&raw mut (*at).pictureStruct).cast::<u32>().write_unaligned(FRAME);
            }
        };
        let failed = coded.failed;
        if failed {
            *content = Content::Nothing;
        } else {
            fill(at, &coded);
            *content = Content::Locked(coded);
        }
        drop(content);
        // The frame has been read, so its resource may be unmapped.
        if let Some((_, pictures)) = lock(&session.state).mapped.get_mut(&from) {
            *pictures = pictures.saturating_sub(1);
        }
        if failed { Err(code::GENERIC) } else { Ok(()) }
    })
}

pub(super) extern "C" fn unlock_output(encoder: Handle, output: Handle) -> i32 {
    let name = "nvEncUnlockBitstream";
    with(name, encoder, |session| {
        let Some(output) = lock(&session.state).outputs.get(&output).cloned() else {
            return refuse(name, "there is no such bitstream buffer", code::INVALID_PARAM);
        };
        let mut content = lock(&output.content);
        match std::mem::take(&mut *content) {
            Content::Locked(mut coded) => {
                coded.bytes.fill(FREED);
                *content = Content::Unlocked(coded);
                Ok(())
            }
            other => {
                *content = other;
                refuse(name, "it is not locked", code::INVALID_CALL)
            }
        }
    })
}

pub(super) extern "C" fn sequence_parameters(
    encoder: Handle,
    at: *const NV_ENC_SEQUENCE_PARAM_PAYLOAD,
) -> i32 {
    let name = "nvEncGetSequenceParams";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_SEQUENCE_PARAM_PAYLOAD_VER)?;
        if !zero!(at, reserved, reserved2) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        let Some(mut configuration) = lock(&session.state).configuration.clone() else {
            return refuse(name, "not initialised", code::ENCODER_NOT_INITIALIZED);
        };
        configuration.delimiters = false;
        // A second encoder with the same configuration makes the same parameter sets.
        let size = configuration.encoder.size;
        let black = I420::new(size.width, size.height).map_err(|_| code::GENERIC)?;
        let order = Order { idr: true, sets: true, timestamp: 0, duration: 0, number: 0 };
        let codec = configuration.encoder.coding.codec;
        let coded = Encoder::new(configuration)?.encode(black, &order);
        let sets: Vec<u8> = units(&coded.bytes)
            .into_iter()
            .filter(|unit| is_parameter_set(codec, unit))
            .flat_map(|unit| [0, 0, 0, 1].into_iter().chain(unit.iter().copied()))
            .collect();
        if sets.len() > read!(at, inBufferSize) as usize {
            return Err(code::INVALID_PARAM);
        }
        let to: *mut std::ffi::c_void = read!(at, spsppsBuffer);
        if to.is_null() {
            return Err(code::INVALID_PTR);
        }
        // SAFETY: the caller promises that there is room for `inBufferSize` bytes, which are enough.
        unsafe { to.cast::<u8>().copy_from_nonoverlapping(sets.as_ptr(), sets.len()) };
        Out::from(read!(at, outSPSPPSPayloadSize)).put(sets.len() as u32).map_err(|_| code::INVALID_PTR)
    })
}
