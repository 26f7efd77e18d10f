//! Selects one of several processors by a parameter.

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::Timestamp;
use serde_json::Value;

use super::Compose;
use super::dynamic::{DynProcessor, DynRunning};
use super::in_order::InOrder;
use super::parts::{Answers, Part, route};
use crate::stage::{Finished, Running, Started, sealed};
use crate::{Generated, Params, Result, Stage, StreamContext};

/// Selects one of several processors by a parameter: see [`switch`].
///
/// All of them are initialised, started and stopped, and receive their parameters, whichever is selected;
/// video and audio go to the selected one. A selection takes effect with the next frame. Order is kept even
/// if cases work on several frames.
#[derive(Debug, Clone)]
pub struct Switch {
    parameter: String,
    cases: Vec<(String, DynProcessor)>,
}

/// Selects between processors by `parameter`, whose value is the name of a [`case`](Switch::case). The first
/// case is selected by default; without any case, video and audio pass through.
pub fn switch(parameter: impl Into<String>) -> Switch {
    Switch { parameter: parameter.into(), cases: Vec::new() }
}

impl Switch {
    /// Adds a case. Parameters address it by the same name.
    #[must_use]
    pub fn case(mut self, name: impl Into<String>, stage: impl Stage) -> Self {
        let name = name.into();
        self.cases.push((name.clone(), stage.named(name).boxed()));
        self
    }

    fn choice(&self) -> Choice {
        Choice {
            parameter: self.parameter.clone(),
            names: self.cases.iter().map(|(name, _)| name.clone()).collect(),
            parts: self.cases.iter().map(|(_, case)| case.parts()).collect(),
            chosen: 0,
        }
    }
}

impl sealed::Sealed for Switch {}

impl Stage for Switch {
    type Running = SwitchRunning;

    async fn initialize(&mut self, device: &Device) -> Result<()> {
        for (_, case) in &mut self.cases {
            case.initialize(device).await?;
        }
        Ok(())
    }

    fn parts(&self) -> Vec<Part> {
        let names = self.cases.iter().map(|(name, _)| name.as_str());
        let mut parts = vec![Part::choosing(&self.parameter, names)];
        parts.extend(self.cases.iter().flat_map(|(_, case)| case.parts()));
        parts
    }

    fn takes_audio(&self) -> bool {
        self.cases.iter().any(|(_, case)| case.takes_audio())
    }

    async fn start(&self, stream: &StreamContext) -> Result<Self::Running> {
        let mut choice = self.choice();
        let shares = choice.make(&stream.params)?;
        let mut running = SwitchRunning { choice, cases: Vec::new(), waiting: InOrder::default() };
        for ((_, case), share) in self.cases.iter().zip(shares) {
            match case.start(&stream.with_params(share)).await {
                Ok(case) => running.cases.push(case),
                Err(e) => {
                    // Stop what was started, and return the first error.
                    let _ = running.stop().await;
                    return Err(e);
                }
            }
        }
        Ok(running)
    }
}

/// The selected case.
#[derive(Debug)]
struct Choice {
    parameter: String,
    names: Vec<String>,
    parts: Vec<Vec<Part>>,
    chosen: usize,
}

impl Choice {
    /// Applies the selection in `params` and returns each case's share of the rest. The selecting parameter
    /// itself goes to no case.
    fn make(&mut self, params: &Params) -> Result<Vec<Params>> {
        let mut params = params.clone();
        let chosen = match params.remove(&self.parameter) {
            None => self.chosen,
            Some(choice) => self.place(&choice)?,
        };
        let shares = route(&params, &self.parts)?;
        self.chosen = chosen;
        Ok(shares)
    }

    fn place(&self, choice: &Value) -> Result<usize> {
        let place = self.names.iter().position(|name| choice.as_str() == Some(name));
        place.ok_or_else(|| {
            let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
            format!("`{}` is {choice}: one of {} is wanted", self.parameter, names.join(", ")).into()
        })
    }
}

/// [`Switch`] in one stream.
#[doc(hidden)]
pub struct SwitchRunning {
    choice: Choice,
    cases: Vec<DynRunning>,
    /// The frames at work, each with its case, and those behind them.
    waiting: InOrder<usize>,
}

impl SwitchRunning {
    fn chosen(&mut self) -> Option<&mut DynRunning> {
        self.cases.get_mut(self.choice.chosen)
    }

    /// The case that works on the oldest frame.
    fn oldest(&mut self) -> Option<(usize, &mut DynRunning)> {
        let case = *self.waiting.oldest()?;
        self.cases.get_mut(case).map(|running| (case, running))
    }
}

impl sealed::Sealed for SwitchRunning {}

impl Running for SwitchRunning {
    async fn start_video(&mut self, frame: VideoFrame) -> Result<Started> {
        let (id, case) = (frame.id(), self.choice.chosen);
        let started = match self.chosen() {
            Some(case) => case.start_video(frame).await?,
            None => Started::Done(Some(frame)),
        };
        Ok(match started {
            Started::Done(answer) => self.waiting.done(id, answer),
            Started::AtWork => self.waiting.at_work(id, case),
        })
    }

    async fn video_ready(&mut self) {
        if self.waiting.is_ready() {
            return;
        }
        match self.oldest() {
            Some((_, case)) => case.video_ready().await,
            None => std::future::pending().await,
        }
    }

    async fn finish_video(&mut self) -> Option<Finished> {
        if !self.waiting.is_ready()
            && let Some((case, running)) = self.oldest()
            && let Some(Finished { id, result }) = running.finish_video().await
            && self.waiting.take(id).is_some()
        {
            self.waiting.answer(id, result, |of| *of == case);
        }
        self.waiting.next()
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        match self.chosen() {
            Some(case) => case.process_audio(frame).await,
            None => Ok(vec![frame]),
        }
    }

    async fn generate(&mut self, timestamp: Timestamp) -> Result<Generated> {
        match self.chosen() {
            Some(case) => case.generate(timestamp).await,
            None => Ok(Generated::default()),
        }
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let shares = self.choice.make(params)?;
        let mut answers = Answers::default();
        if let Some(choice) = params.get(&self.choice.parameter) {
            answers.add(Params::from_iter([(self.choice.parameter.clone(), choice.clone())]), Ok(()));
        }
        for (case, share) in self.cases.iter_mut().zip(shares) {
            if !share.is_empty() {
                let answer = case.update_params(&share).await;
                answers.add(share, answer);
            }
        }
        answers.whole()
    }

    async fn stop(&mut self) -> Result<()> {
        let mut stopped = Ok(());
        for case in &mut self.cases {
            stopped = stopped.and(case.stop().await);
        }
        stopped
    }
}
