//! Collects the PAT and the PMTs of all programs, and selects one program and its tracks. Parsing the tables
//! is in `psi`, the meaning of stream types in `listing`.

use crate::listing::{ContentKind, ElementaryStream, Entry, Ignored};
use crate::packet::{Continuity, Counter, Packet};
use crate::program::Program;
use crate::psi::{self, Sections};

/// Further programs are ignored. A satellite transponder carries about ten.
const MAX_PROGRAMS: usize = 32;
/// A program whose PMT has not arrived after this many PATs is not waited for.
const MAX_PATIENCE: u8 = 2;

/// One program of the PAT.
#[derive(Debug, Default)]
struct Listened {
    number: u16,
    pmt_pid: u16,
    sections: Sections,
    counter: Counter,
    entries: Option<Vec<Entry>>,
    /// The number of PATs since the one that first listed the program.
    pats: u8,
}

impl Listened {
    fn has_video(&self) -> bool {
        self.entries.iter().flatten().any(|entry| entry.track.is_some_and(|track| track.codec.is_video()))
    }

    /// Whether its PMT has neither arrived nor been given up.
    fn is_awaited(&self) -> bool {
        self.entries.is_none() && self.pats < MAX_PATIENCE
    }
}

/// The input's programs.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pat: Sections,
    pat_counter: Counter,
    listened: Vec<Listened>,
    /// The number and PMT PID of the selected program.
    chosen: Option<(u16, u16)>,
    /// CRC errors of programs that are gone.
    crc_errors: u64,
}

impl Programs {
    /// Whether packets of this PID carry a PMT.
    pub(crate) fn listens_to(&self, pid: u16) -> bool {
        self.listened.iter().any(|listened| listened.pmt_pid == pid)
    }

    pub(crate) fn crc_errors(&self) -> u64 {
        let pmts: u64 = self.listened.iter().map(|listened| listened.sections.crc_errors).sum();
        self.crc_errors + self.pat.crc_errors + pmts
    }

    /// Takes a packet of the PAT's PID. Returns whether a segment seems to begin with it, and the selected
    /// program if it is known.
    pub(crate) fn pat_packet(&mut self, packet: &Packet<'_>) -> (bool, Option<Program>) {
        let Some(payload) = packet.payload else { return (false, None) };
        let verdict = self.pat_counter.judge(packet.counter, payload);
        // Segments begin with a PAT, often with all counters at 0. After a PAT that does not continue the
        // previous one, a jump of the other counters is not a loss.
        let begins = packet.start && (verdict != Continuity::Next || packet.counter == 0);
        match verdict {
            Continuity::Repeat if !packet.start => return (begins, None),
            Continuity::Gap(_) => self.pat.reset(),
            Continuity::First | Continuity::Next | Continuity::Repeat => {}
        }
        let mut programs = None;
        self.pat.push(packet.start, payload, &mut |section| {
            programs = psi::parse_pat(section).or(programs.take())
        });
        match programs {
            Some(programs) if !programs.is_empty() => {
                self.listen(&programs);
                (begins, self.decide())
            }
            _ => (begins, None),
        }
    }

    fn listen(&mut self, programs: &[(u16, u16)]) {
        let mut old = std::mem::take(&mut self.listened);
        for &(number, pmt_pid) in programs.iter().take(MAX_PROGRAMS) {
            let known = |listened: &Listened| (listened.number, listened.pmt_pid) == (number, pmt_pid);
            let listened = match old.iter().position(known) {
                Some(index) => {
                    let known = old.swap_remove(index);
                    Listened { pats: known.pats.saturating_add(1), ..known }
                }
                None => Listened { number, pmt_pid, ..Listened::default() },
            };
            self.listened.push(listened);
        }
        self.crc_errors += old.iter().map(|gone| gone.sections.crc_errors).sum::<u64>();
    }

    /// Takes a packet of a PMT's PID and returns the selected program if it is known.
    pub(crate) fn pmt_packet(&mut self, packet: &Packet<'_>) -> Option<Program> {
        let payload = packet.payload?;
        // Several programs may share a PID.
        for listened in self.listened.iter_mut().filter(|listened| listened.pmt_pid == packet.pid) {
            match listened.counter.judge(packet.counter, payload) {
                // A repeated start of a table is read again: it may come from another muxer with the same
                // counter.
                Continuity::Repeat if !packet.start => continue,
                Continuity::Gap(_) => listened.sections.reset(),
                Continuity::First | Continuity::Next | Continuity::Repeat => {}
            }
            let Listened { number, sections, entries, .. } = listened;
            let each = &mut |section: &[u8]| *entries = psi::parse_pmt(section, *number).or(entries.take());
            sections.push(packet.start, payload, each);
        }
        self.decide()
    }

    /// Ends a segment; tables start over.
    pub(crate) fn end_segment(&mut self) {
        self.pat.reset();
        self.pat_counter.restart();
        for listened in &mut self.listened {
            listened.sections.reset();
            listened.counter.restart();
        }
    }

    /// Selects the first program that has video. A program selected earlier is kept while it has video. If no
    /// program has video, the first one is selected.
    fn decide(&mut self) -> Option<Program> {
        let is_chosen = |listened: &&Listened| self.chosen == Some((listened.number, listened.pmt_pid));
        let chosen = self.listened.iter().find(is_chosen);
        let mut awaited = false;
        let mut first_with_video = None;
        for listened in &self.listened {
            if listened.has_video() {
                first_with_video = Some(listened);
                break;
            }
            awaited |= listened.is_awaited();
        }
        let taken = match (chosen, first_with_video) {
            (Some(chosen), _) if chosen.has_video() => chosen,
            (chosen, Some(_)) if awaited => chosen?,
            (_, Some(first)) => first,
            (Some(chosen), None) => chosen,
            (None, None) if awaited => return None,
            (None, None) => self.listened.iter().find(|listened| listened.entries.is_some())?,
        };
        let chosen = (taken.number, taken.pmt_pid);
        taken.entries.as_ref()?;
        self.chosen = Some(chosen);
        Some(self.program(chosen))
    }

    fn program(&self, chosen: (u16, u16)) -> Program {
        let mut program = Program { number: chosen.0, ..Program::default() };
        for listened in &self.listened {
            let is_taken = (listened.number, listened.pmt_pid) == chosen;
            for entry in listened.entries.iter().flatten() {
                let taken = match entry.kind {
                    ContentKind::Video => program.video().is_some(),
                    _ => program.audio().is_some(),
                };
                let ignored = match entry.track {
                    _ if !is_taken => Some(Ignored::Program),
                    None => Some(Ignored::Codec),
                    Some(_) if taken => Some(Ignored::Second),
                    Some(track) => {
                        program.tracks.push(track);
                        None
                    }
                };
                program.streams.push(ElementaryStream {
                    program: listened.number,
                    pid: entry.pid,
                    kind: entry.kind,
                    codec: entry.name,
                    language: entry.language.clone(),
                    ignored,
                });
            }
        }
        program
    }
}
