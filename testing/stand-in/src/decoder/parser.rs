//! The parser takes packets and calls the caller's functions for each sequence, each picture to decode and
//! each picture to display.

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex};

use nvidia_video_codec_sdk::sys::nvcuvid::{
    CUVIDEOFORMAT, CUVIDPARSERDISPINFO, CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET, PFNVIDDECODECALLBACK,
    PFNVIDDISPLAYCALLBACK, PFNVIDSEQUENCECALLBACK,
};

use super::codec_of;
use super::pictures::{Decoded, Pictures};
use super::stream::Stream;
use super::syntax::{self, Coded, Step, Syntax};
use crate::call::entry_points;
use crate::pointer::{In, Out};
use crate::report;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table, lock};

struct Parser {
    state: Mutex<State>,
}

struct State {
    calls: Callbacks,
    stream: Stream,
    syntax: Box<dyn Syntax>,
    pictures: Pictures,
}

/// The caller's functions and the pointer that each of them gets.
#[derive(Clone, Copy)]
struct Callbacks {
    user: *mut c_void,
    sequence: PFNVIDSEQUENCECALLBACK,
    decode: PFNVIDDECODECALLBACK,
    display: PFNVIDDISPLAYCALLBACK,
}

// SAFETY: the pointer is only ever passed to the caller's functions, on the thread that calls the parser.
unsafe impl Send for Callbacks {}

static PARSERS: Table<Parser> = Table::new();

/// How many parsers have not been destroyed.
pub(super) fn live() -> usize {
    PARSERS.len()
}

/// `CUvideopacketflags`.
const END_OF_STREAM: u64 = 1;
const TIMESTAMP: u64 = 2;
const DISCONTINUITY: u64 = 4;
const END_OF_PICTURE: u64 = 8;
const NOTIFY_END: u64 = 16;

impl State {
    fn packet(&mut self, packet: &CUVIDSOURCEDATAPACKET) -> Answer {
        let has = |flag| packet.flags & flag != 0;
        if has(DISCONTINUITY) {
            self.stream.clear();
            self.syntax.discontinuity();
            self.display_rest()?;
        }
        let length = usize::try_from(packet.payload_size).map_err(|_| Status::INVALID_VALUE)?;
        if length > 0 {
            if packet.payload.is_null() {
                return Err(Status::INVALID_VALUE);
            }
            // SAFETY: the caller promises that `payload_size` bytes can be read there.
            let bytes = unsafe { std::slice::from_raw_parts(packet.payload, length) };
            self.stream.push(bytes, has(TIMESTAMP).then_some(packet.timestamp));
        }
        let ended = has(END_OF_PICTURE) || has(END_OF_STREAM);
        let mut steps = VecDeque::new();
        while let Some(unit) = self.stream.next(ended) {
            self.syntax.unit(unit, &mut steps);
            self.take(&mut steps)?;
        }
        if ended {
            self.syntax.end_of_picture(&mut steps);
            self.take(&mut steps)?;
        }
        if has(END_OF_STREAM) {
            self.display_rest()?;
            self.stream.clear();
            self.syntax.discontinuity();
            if has(NOTIFY_END)
                && let Some(display) = self.calls.display
            {
                // SAFETY: this is the caller's own function, and a null picture announces the end.
                unsafe { display(self.calls.user, std::ptr::null_mut()) };
            }
        }
        Ok(())
    }

    fn take(&mut self, steps: &mut VecDeque<Step>) -> Answer {
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Sequence(format) => {
                    self.begin_sequence(*format).inspect_err(|_| self.syntax.refused())?
                }
                Step::Picture(coded) => self.decode(*coded)?,
            }
        }
        Ok(())
    }

    fn begin_sequence(&mut self, mut format: CUVIDEOFORMAT) -> Answer {
        self.display_rest()?;
        let Some(sequence) = self.calls.sequence else { return Err(Status::UNKNOWN) };
        // SAFETY: this is the caller's own function, and the format outlives the call.
        match unsafe { sequence(self.calls.user, &raw mut format) } {
            ..=0 => return Err(Status::UNKNOWN),
            1 => {}
            surfaces => self.pictures.set_surfaces(surfaces as usize),
        }
        Ok(())
    }

    fn decode(&mut self, mut coded: Coded) -> Answer {
        if coded.fresh {
            self.display_rest()?;
        }
        self.pictures.begin(&coded);
        let surface = loop {
            if let Some(surface) = self.pictures.free_surface() {
                break surface;
            }
            match self.pictures.hurry() {
                Some(early) => self.display(&[early])?,
                None => {
                    report::wrong(
                        "cuvidParseVideoData",
                        "fewer surfaces than the stream has reference pictures",
                    );
                    return Err(Status::UNKNOWN);
                }
            }
        };
        coded.parameters.CurrPicIdx = surface as c_int;
        coded.parameters.nBitstreamDataLen = coded.bytes.len() as u32;
        coded.parameters.pBitstreamData = coded.bytes.as_ptr();
        coded.parameters.nNumSlices = coded.slices.len() as u32;
        coded.parameters.pSliceDataOffsets = coded.slices.as_ptr();
        let Some(decode) = self.calls.decode else { return Err(Status::UNKNOWN) };
        // SAFETY: this is the caller's own function, and the parameters, bytes and offsets outlive the call.
        if unsafe { decode(self.calls.user, &raw mut coded.parameters) } <= 0 {
            return Err(Status::UNKNOWN);
        }
        let shown = self.pictures.push(&coded, surface);
        self.display(&shown)
    }

    fn display_rest(&mut self) -> Answer {
        let rest = self.pictures.finish();
        self.display(&rest)
    }

    fn display(&mut self, pictures: &[Decoded]) -> Answer {
        let Some(display) = self.calls.display else { return Ok(()) };
        for picture in pictures {
            let mut shown = CUVIDPARSERDISPINFO {
                picture_index: picture.surface as c_int,
                progressive_frame: 1,
                top_field_first: 0,
                repeat_first_field: 0,
                timestamp: picture.timestamp,
            };
            // SAFETY: this is the caller's own function, and its argument outlives the call.
            if unsafe { display(self.calls.user, &raw mut shown) } <= 0 {
                return Err(Status::UNKNOWN);
            }
        }
        Ok(())
    }
}

entry_points! {
    fn cuvidCreateVideoParser(parser: Out<Handle>, parameters: In<CUVIDPARSERPARAMS>) needs Nothing {
        let codec = parameters.number(std::mem::offset_of!(CUVIDPARSERPARAMS, CodecType))?;
        let codec = codec_of(codec).ok_or(Status::NOT_SUPPORTED)?;
        let parameters = parameters.get()?;
        // `bAnnexb` means nothing for the codecs that are parsed here, so it counts as reserved.
        let reserved = parameters.uReserved() == 0
            && parameters.bAnnexb() == 0
            && parameters.uReserved1 == [0; 4]
            && parameters.pvReserved2.iter().all(|pointer| pointer.is_null());
        if !reserved {
            report::wrong("cuvidCreateVideoParser", "reserved fields are not zero");
            return Err(Status::INVALID_VALUE);
        }
        if parameters.pfnSequenceCallback.is_none() || parameters.pfnDecodePicture.is_none() {
            return Err(Status::INVALID_VALUE);
        }
        if parameters.ulErrorThreshold > 100 {
            return Err(Status::INVALID_VALUE);
        }
        let surfaces = parameters.ulMaxNumDecodeSurfaces as usize;
        if surfaces == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let state = State {
            calls: Callbacks {
                user: parameters.pUserData,
                sequence: parameters.pfnSequenceCallback,
                decode: parameters.pfnDecodePicture,
                display: parameters.pfnDisplayPicture,
            },
            stream: Stream::default(),
            syntax: syntax::of(codec),
            pictures: Pictures::new(surfaces, parameters.ulMaxDisplayDelay as usize),
        };
        parser.put(PARSERS.insert(Arc::new(Parser { state: Mutex::new(state) })))
    }

    fn cuvidParseVideoData(parser: Handle, packet: In<CUVIDSOURCEDATAPACKET>) needs Nothing {
        let parser = PARSERS.get(parser).ok_or(Status::INVALID_HANDLE)?;
        let packet = packet.get()?;
        if packet.flags > 0x1f {
            return Err(Status::INVALID_VALUE);
        }
        lock(&parser.state).packet(&packet)
    }

    fn cuvidDestroyVideoParser(parser: Handle) needs Nothing {
        PARSERS.remove(parser).map(drop).ok_or(Status::INVALID_HANDLE)
    }
}
