//! The encoder's buffers: device memory that is registered and mapped to read frames from, and buffers to
//! write bitstreams to.

use std::sync::{Arc, Condvar, Mutex};

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    NV_ENC_CREATE_BITSTREAM_BUFFER, NV_ENC_CREATE_BITSTREAM_BUFFER_VER, NV_ENC_MAP_INPUT_RESOURCE,
    NV_ENC_MAP_INPUT_RESOURCE_VER, NV_ENC_REGISTER_RESOURCE, NV_ENC_REGISTER_RESOURCE_VER,
};

use super::picture::Coded;
use super::session::{check_version, refuse, with};
use super::{code, number, put, read, zero};
use crate::driver::memory;
use crate::table::{Handle, lock, new_handle};

/// Device memory that is registered to hold frames.
#[derive(Clone, Copy)]
pub(super) struct Registered {
    pub(super) address: u64,
    pub(super) pitch: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Registered {
    pub(super) fn size(&self) -> u64 {
        let rows = u64::from(self.height) + u64::from(self.height.div_ceil(2));
        u64::from(self.pitch) * (rows - 1) + u64::from(self.width)
    }
}

/// A bitstream buffer.
#[derive(Default)]
pub(super) struct Output {
    pub(super) content: Mutex<Content>,
    pub(super) filled: Condvar,
}

/// The contents of a bitstream buffer.
#[derive(Default)]
pub(super) enum Content {
    #[default]
    Nothing,
    /// A frame from this mapped resource is being encoded to the buffer.
    Awaited { from: Handle, coded: Option<Coded> },
    /// The caller is reading the access unit.
    Locked(Coded),
    /// The caller has finished reading, and the bytes have been overwritten.
    Unlocked(#[expect(dead_code, reason = "reading it too late must find the overwritten bytes")] Coded),
}

/// `NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR`.
const DEVICE_POINTER: u32 = 1;
/// `NV_ENC_BUFFER_FORMAT_NV12`.
pub(super) const NV12: u32 = 1;
/// `NV_ENC_INPUT_IMAGE`.
const INPUT_IMAGE: u32 = 0;
/// The alignment of the rows of a registered frame.
const ALIGNMENT: u32 = 16;

pub(super) extern "C" fn register(encoder: Handle, at: *mut NV_ENC_REGISTER_RESOURCE) -> i32 {
    let name = "nvEncRegisterResource";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_REGISTER_RESOURCE_VER)?;
        if !zero!(at, reserved1, reserved2, subResourceIndex, pInputFencePoint) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        let mut state = lock(&session.state);
        if state.configuration.is_none() {
            return refuse(name, "not initialised", code::ENCODER_NOT_INITIALIZED);
        }
        let kinds = (number!(at, resourceType), number!(at, bufferFormat), number!(at, bufferUsage));
        if kinds != (DEVICE_POINTER, NV12, INPUT_IMAGE) {
            return refuse(name, "not a picture as NV12 in device memory", code::UNSUPPORTED_PARAM);
        }
        let resource: *mut std::ffi::c_void = read!(at.cast_const(), resourceToRegister);
        let registered = Registered {
            address: resource.addr() as u64,
            pitch: read!(at, pitch),
            width: read!(at, width),
            height: read!(at, height),
        };
        let Registered { address, pitch, width, height } = registered;
        if width == 0 || height == 0 || pitch < width || !pitch.is_multiple_of(ALIGNMENT) {
            return refuse(name, &format!("{width}x{height}, {pitch} apart"), code::INVALID_PARAM);
        }
        if !memory::can_be_registered(session.context, address, registered.size()) {
            return refuse(
                name,
                "the picture lies in no allocation, or in a pool's",
                code::RESOURCE_REGISTER_FAILED,
            );
        }
        if state.registered.values().any(|other| other.address == address) {
            return refuse(name, "registered before", code::RESOURCE_REGISTER_FAILED);
        }
        let handle = new_handle();
        state.registered.insert(handle, registered);
        put!(at, registeredResource, std::ptr::without_provenance_mut(handle));
        Ok(())
    })
}

pub(super) extern "C" fn unregister(encoder: Handle, registered: Handle) -> i32 {
    let name = "nvEncUnregisterResource";
    with(name, encoder, |session| {
        let mut state = lock(&session.state);
        if state.mapped.values().any(|(of, _)| *of == registered) {
            return refuse(name, "it is mapped", code::INVALID_CALL);
        }
        match state.registered.remove(&registered) {
            Some(_) => Ok(()),
            None => refuse(name, "there is no such resource", code::RESOURCE_NOT_REGISTERED),
        }
    })
}

pub(super) extern "C" fn map(encoder: Handle, at: *mut NV_ENC_MAP_INPUT_RESOURCE) -> i32 {
    let name = "nvEncMapInputResource";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_MAP_INPUT_RESOURCE_VER)?;
        if !zero!(at, reserved1, reserved2, subResourceIndex, inputResource) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        let mut state = lock(&session.state);
        let registered = read!(at.cast_const(), registeredResource).addr();
        if !state.registered.contains_key(&registered) {
            return refuse(name, "there is no such resource", code::RESOURCE_NOT_REGISTERED);
        }
        if state.mapped.values().any(|(of, _)| *of == registered) {
            return refuse(name, "it is mapped", code::INVALID_CALL);
        }
        let handle = new_handle();
        state.mapped.insert(handle, (registered, 0));
        put!(at, mappedResource, std::ptr::without_provenance_mut(handle));
        // SAFETY: the caller's struct exists, since its version was read, and the field is a number of four
        // bytes.
        unsafe { (&raw mut (*at).mappedBufferFmt).cast::<u32>().write_unaligned(NV12) };
        Ok(())
    })
}

pub(super) extern "C" fn unmap(encoder: Handle, mapped: Handle) -> i32 {
    let name = "nvEncUnmapInputResource";
    with(name, encoder, |session| {
        let mut state = lock(&session.state);
        match state.mapped.get(&mapped) {
            None => refuse(name, "that is not mapped", code::RESOURCE_NOT_MAPPED),
            Some((_, 1..)) => refuse(
                name,
                "a picture is encoded from it whose bitstream was not locked",
                code::INVALID_CALL,
            ),
            Some(_) => {
                state.mapped.remove(&mapped);
                Ok(())
            }
        }
    })
}

pub(super) extern "C" fn create_output(encoder: Handle, at: *mut NV_ENC_CREATE_BITSTREAM_BUFFER) -> i32 {
    let name = "nvEncCreateBitstreamBuffer";
    with(name, encoder, |session| {
        check_version(name, at, NV_ENC_CREATE_BITSTREAM_BUFFER_VER)?;
        if !zero!(at, reserved, reserved1, reserved2) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        let mut state = lock(&session.state);
        if state.configuration.is_none() {
            return refuse(name, "not initialised", code::ENCODER_NOT_INITIALIZED);
        }
        let handle = new_handle();
        state.outputs.insert(handle, Arc::default());
        put!(at, bitstreamBuffer, std::ptr::without_provenance_mut(handle));
        Ok(())
    })
}

pub(super) extern "C" fn destroy_output(encoder: Handle, output: Handle) -> i32 {
    let name = "nvEncDestroyBitstreamBuffer";
    with(name, encoder, |session| {
        let mut state = lock(&session.state);
        let busy = state
            .outputs
            .get(&output)
            .map(|output| matches!(*lock(&output.content), Content::Awaited { .. } | Content::Locked(_)));
        match busy {
            None => refuse(name, "there is no such buffer", code::INVALID_PARAM),
            Some(true) => refuse(name, "a picture is in it, or it is locked", code::INVALID_CALL),
            Some(false) => {
                state.outputs.remove(&output);
                Ok(())
            }
        }
    })
}
