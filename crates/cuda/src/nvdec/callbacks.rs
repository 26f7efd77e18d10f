//! The parser's callbacks for a new sequence and for a picture to decode. Errors are kept until the parse
//! call returns, because C code cannot pass them on.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use nvidia_video_codec_sdk::sys::cuviddec::CUVIDPICPARAMS;
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use cutrickle_media::{Size, VideoCodec};

use super::api::Cuvid;
use super::session::{Format, Session};
use super::{Counters, Decoded};
use crate::device::checked;
use crate::{Error, Gpu, Result};

/// The state of one stream's callbacks.
pub(super) struct Core {
    api: &'static Cuvid,
    gpu: Arc<Gpu>,
    codec: VideoCodec,
    target: Option<Size>,
    session: Option<Session>,
    ready: Vec<Decoded>,
    error: Option<Error>,
    /// A picture was damaged, and others may refer to it. No pictures are returned until decoding starts
    /// afresh.
    broken: bool,
    counters: Counters,
}

/// The results that the library expects from a callback.
const FAILED: c_int = 0;
const DONE: c_int = 1;

impl Core {
    pub(super) fn new(api: &'static Cuvid, gpu: Arc<Gpu>, codec: VideoCodec) -> Self {
        Self {
            api,
            gpu,
            codec,
            target: None,
            session: None,
            ready: Vec::new(),
            error: None,
            broken: false,
            counters: Counters::default(),
        }
    }

    pub(super) fn target(&self) -> Option<Size> {
        self.target
    }

    /// Sets the target size of the next sequence.
    pub(super) fn begin(&mut self, target: Option<Size>) {
        self.target = target;
    }

    /// Announces an access unit at which decoding can start.
    pub(super) fn keyframe(&mut self) {
        self.broken = false;
    }

    pub(super) fn counters(&self) -> Counters {
        let waits = self.session.as_ref().map_or(0, Session::waits);
        Counters { surface_waits: self.counters.surface_waits + waits, ..self.counters }
    }

    pub(super) fn close(&mut self) {
        self.counters = self.counters();
        self.session = None;
        self.ready.clear();
    }

    pub(super) fn hand_out(&mut self, out: &mut dyn FnMut(Decoded)) {
        self.ready.drain(..).for_each(out);
    }

    /// Returns the first error of the callbacks, or else that of the parse call.
    pub(super) fn finish_unit(&mut self, call: &str, code: c_int) -> Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => checked(call, code),
        }
    }

    fn answer(&mut self, result: Result<c_int>) -> c_int {
        match result {
            Ok(answer) => answer,
            Err(error) => {
                self.broken = true;
                self.error.get_or_insert(error);
                FAILED
            }
        }
    }

    /// Begins a sequence and returns the number of surfaces that the parser may use.
    fn sequence(&mut self, format: &Format) -> Result<c_int> {
        if let Some(session) = &mut self.session
            && session.fits(format)
        {
            if session.reconfigure(*format, self.target)? {
                self.counters.reconfigured += 1;
            }
        } else {
            if self.session.is_some() {
                self.close();
                self.counters.recreated += 1;
            }
            let session = Session::open(self.api, &self.gpu, self.codec, *format, self.target)?;
            self.session = Some(session);
        }
        let surfaces = self.session.as_ref().map_or(0, Session::surfaces);
        Ok(c_int::try_from(surfaces).unwrap_or(c_int::MAX))
    }

    /// # Safety
    /// `parameters` must come from the parser's call of this callback.
    unsafe fn picture(&mut self, parameters: *mut CUVIDPICPARAMS) -> Result<c_int> {
        let Some(session) = &mut self.session else {
            return Err(Error::new("a picture before its sequence"));
        };
        // SAFETY: the caller guarantees it.
        let (index, first_field, top_first) = unsafe {
            let index = (*parameters).CurrPicIdx;
            session.decode(index, parameters)?;
            let of = &*parameters;
            let first_field = of.field_pic_flag != 0 && of.second_field == 0;
            (index, first_field, top_field_first(self.codec, of))
        };
        if !first_field && !self.broken {
            self.ready.push(session.take(index, top_first)?);
        }
        Ok(DONE)
    }
}

/// Returns whether the top field of a frame, or of the pair that `of` completes, is displayed first. In
/// H.264, that is the field with the lower picture order count (8.2.1).
///
/// # Safety
/// `of` must come from the decode callback of this codec's parser.
unsafe fn top_field_first(codec: VideoCodec, of: &CUVIDPICPARAMS) -> bool {
    if of.field_pic_flag != 0 {
        return of.bottom_field_flag != 0;
    }
    // SAFETY: the caller guarantees it. The union's member for this codec consists of numbers.
    codec != VideoCodec::H264 || unsafe { of.CodecSpecific.h264.CurrFieldOrderCnt.is_sorted() }
}

/// `PFNVIDSEQUENCECALLBACK`.
///
/// # Safety
/// `core` must be the address of the decoder's [`Core`] without any live references to it, and `format` must
/// come from the parser.
pub(super) unsafe extern "C" fn sequence(core: *mut c_void, format: *mut CUVIDEOFORMAT) -> c_int {
    // SAFETY: the caller guarantees it. The format is read field by field, because its enums may have values
    // that ours do not contain.
    let (core, format) = unsafe { (&mut *core.cast::<Core>(), Format::read(format)) };
    let result = core.sequence(&format);
    core.answer(result)
}

/// `PFNVIDDECODECALLBACK`.
///
/// # Safety
/// As for [`sequence`]; `parameters` must come from the parser.
pub(super) unsafe extern "C" fn picture(core: *mut c_void, parameters: *mut CUVIDPICPARAMS) -> c_int {
    // SAFETY: the caller guarantees it.
    unsafe {
        let core = &mut *core.cast::<Core>();
        let result = core.picture(parameters);
        core.answer(result)
    }
}
