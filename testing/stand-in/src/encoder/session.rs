//! Encoder sessions, which are opened for a context and have to be closed in order.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nvidia_video_codec_sdk::sys::nvEncodeAPI::{
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER, NVENCAPI_VERSION,
};

use super::buffers::{Output, Registered};
use super::configuration::Configuration;
use super::picture::Encoder;
use super::{code, number, read, zero};
use crate::call;
use crate::driver::context::{self, Context};
use crate::driver::stream::{self, Stream};
use crate::pointer::{In, Out};
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table, lock};

/// An open encoder.
pub(super) struct Session {
    pub(super) context: &'static Context,
    pub(super) state: Mutex<State>,
    last_error: Mutex<CString>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) configuration: Option<Configuration>,
    pub(super) encoder: Option<Arc<Mutex<Encoder>>>,
    /// The streams for input and for output.
    pub(super) streams: Option<(Arc<Stream>, Arc<Stream>)>,
    pub(super) registered: BTreeMap<Handle, Registered>,
    /// The mapped resources: what each was registered as, and how many frames are being encoded from it.
    pub(super) mapped: BTreeMap<Handle, (Handle, usize)>,
    pub(super) outputs: BTreeMap<Handle, Arc<Output>>,
    /// Whether frames were encoded since the caller last announced the end of the stream.
    pub(super) unfinished: bool,
}

static SESSIONS: Table<Session> = Table::new();
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many objects of each kind are still open.
pub(super) fn left() -> [(&'static str, usize); 4] {
    let sessions = SESSIONS.all();
    let sum = |of: fn(&State) -> usize| sessions.iter().map(|session| of(&lock(&session.state))).sum();
    [
        ("encoder sessions", sessions.len()),
        ("registered resources", sum(|state| state.registered.len())),
        ("mapped resources", sum(|state| state.mapped.len())),
        ("bitstream buffers", sum(|state| state.outputs.len())),
    ]
}

/// Makes a call of the encoder.
pub(super) fn enter(name: &'static str, body: impl FnOnce() -> Answer) -> i32 {
    let answer = call::admit(name).and_then(|()| {
        if stream::in_host_function() {
            report::wrong(name, "called from a host function");
            return Err(code::INVALID_CALL);
        }
        body()
    });
    answer.err().map_or(0, |status| status.0)
}

/// Makes a call for a session.
pub(super) fn with(name: &'static str, handle: Handle, body: impl FnOnce(&Session) -> Answer) -> i32 {
    enter(name, || {
        let Some(session) = SESSIONS.get(handle) else {
            report::wrong(name, "there is no such encoder");
            return Err(code::INVALID_ENCODERDEVICE);
        };
        session.context.check().map_err(|_| code::GENERIC)?;
        body(&session).inspect_err(|status| {
            let text = CString::new(format!("{name}: status {}", status.0)).unwrap_or_default();
            *lock(&session.last_error) = text;
        })
    })
}

/// Refuses a call and records it as a wrong use.
pub(super) fn refuse<T>(name: &str, why: &str, status: Status) -> Answer<T> {
    report::wrong(name, why);
    Err(status)
}

/// Checks that a struct exists and has the right version.
pub(super) fn check_version<T>(name: &str, at: *const T, version: u32) -> Answer {
    if at.is_null() {
        return refuse(name, "a null pointer", code::INVALID_PTR);
    }
    // SAFETY: every struct of the API begins with its version, and the caller promises that it exists.
    let given = unsafe { at.cast::<u32>().read_unaligned() };
    if given != version {
        return refuse(name, &format!("version {given:#x} instead of {version:#x}"), code::INVALID_VERSION);
    }
    Ok(())
}

/// `NV_ENC_DEVICE_TYPE_CUDA`.
const CUDA: u32 = 1;

pub(super) extern "C" fn open(at: *const NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS, encoder: Out<Handle>) -> i32 {
    let name = "nvEncOpenEncodeSessionEx";
    enter(name, || {
        check_version(name, at, NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS_VER)?;
        if read!(at, apiVersion) != NVENCAPI_VERSION {
            return refuse(name, "another version of the API", code::INVALID_VERSION);
        }
        if !zero!(at, reserved, reserved1, reserved2) {
            return refuse(name, "reserved fields are not zero", code::INVALID_PARAM);
        }
        if !SETTINGS.encoder {
            return Err(code::UNSUPPORTED_DEVICE);
        }
        if number!(at, deviceType) != CUDA {
            return refuse(name, "not a CUDA device", code::UNSUPPORTED_DEVICE);
        }
        let device: *mut c_void = read!(at, device);
        let Some(context) = context::find(device.addr()).filter(|context| context.is_alive()) else {
            return refuse(name, "the device is no live context", code::INVALID_DEVICE);
        };
        let more = |open: usize| (open < SETTINGS.encoder_sessions).then_some(open + 1);
        if OPEN.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            // GPUs with a limit on sessions return this code.
            return Err(code::OUT_OF_MEMORY);
        }
        let session = Session { context, state: Mutex::default(), last_error: Mutex::default() };
        encoder.put(SESSIONS.insert(Arc::new(session))).map_err(|_| code::INVALID_PTR)
    })
}

pub(super) extern "C" fn destroy(encoder: Handle) -> i32 {
    let name = "nvEncDestroyEncoder";
    with(name, encoder, |session| {
        let mut state = lock(&session.state);
        if state.unfinished {
            report::wrong(name, "pictures were encoded, and the end was not told");
        }
        if !state.registered.is_empty() || !state.outputs.is_empty() || !state.mapped.is_empty() {
            let State { registered, mapped, outputs, .. } = &*state;
            let open = [registered.len(), mapped.len(), outputs.len()];
            report::wrong(
                name,
                &format!("{open:?} resources registered, mapped, and bitstream buffers are left"),
            );
        }
        if let Some((input, output)) = state.streams.take() {
            input.wait();
            output.wait();
        }
        SESSIONS.remove(encoder);
        OPEN.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    })
}

/// Sets the streams, which are passed as pointers to their handles.
pub(super) extern "C" fn set_streams(encoder: Handle, input: In<Handle>, output: In<Handle>) -> i32 {
    let name = "nvEncSetIOCudaStreams";
    with(name, encoder, |session| {
        let find = |at: In<Handle>| {
            let handle = at.get().map_err(|_| code::INVALID_PTR)?;
            stream::find_for(name, handle, session.context).map_err(|_| code::INVALID_PARAM)
        };
        let streams = (find(input)?, find(output)?);
        lock(&session.state).streams = Some(streams);
        Ok(())
    })
}

pub(super) extern "C" fn last_error(encoder: Handle) -> *const c_char {
    // The text lives until the session's next error or its end.
    SESSIONS.get(encoder).map_or(c"no encoder".as_ptr(), |session| lock(&session.last_error).as_ptr())
}
