//! One of several processors, as a parameter says.

use candle_core::Device;
use cutrickle_frame::{AudioFrame, VideoFrame};
use serde_json::Value;

use super::parts::{Answers, Part, route};
use super::{Compose, DynProcessor};
use crate::{FrameProcessor, Generated, Params, Result, StreamContext};

/// One of several processors, as a parameter says: [`switch`].
///
/// All of them are initialised, started and stopped, and given their parameters, whichever is chosen; pictures and sound
/// go to the chosen one. A choice takes effect with the next frame. Order is kept; one picture is at work at a time.
#[derive(Debug, Clone)]
pub struct Switch {
    parameter: String,
    cases: Vec<(String, DynProcessor)>,
    chosen: usize,
}

/// A choice between processors by `parameter`, whose value is the name of a [`case`](Switch::case). Until it comes the
/// first case is chosen; without any case pictures and sound pass.
pub fn switch(parameter: impl Into<String>) -> Switch {
    Switch { parameter: parameter.into(), cases: Vec::new(), chosen: 0 }
}

impl Switch {
    /// Adds a case. Its name is also the one by which parameters reach it.
    #[must_use]
    pub fn case(mut self, name: impl Into<String>, processor: impl FrameProcessor) -> Self {
        let name = name.into();
        self.cases.push((name.clone(), processor.named(name).boxed()));
        self
    }

    /// The case that `params` choose, and each case's own share of them; the choice's name is for nobody else.
    fn share(&self, params: &Params) -> Result<(usize, Vec<Params>)> {
        let mut params = params.clone();
        let chosen = match params.remove(&self.parameter) {
            None => self.chosen,
            Some(choice) => self.place(&choice)?,
        };
        let parts: Vec<_> = self.cases.iter().map(|(_, case)| case.parts()).collect();
        Ok((chosen, route(&params, &parts)?))
    }

    fn place(&self, choice: &Value) -> Result<usize> {
        let place = self.cases.iter().position(|(name, _)| choice.as_str() == Some(name));
        place.ok_or_else(|| {
            let names: Vec<_> = self.cases.iter().map(|(name, _)| format!("`{name}`")).collect();
            format!("`{}` is {choice}: one of {} is wanted", self.parameter, names.join(", ")).into()
        })
    }

    fn chosen(&mut self) -> Option<&mut DynProcessor> {
        self.cases.get_mut(self.chosen).map(|(_, case)| case)
    }
}

impl FrameProcessor for Switch {
    async fn initialize(&mut self, device: &Device) -> Result<()> {
        for (_, case) in &mut self.cases {
            case.initialize(device).await?;
        }
        Ok(())
    }

    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        match self.chosen() {
            Some(case) => case.process_video(frame).await,
            None => Ok(Some(frame)),
        }
    }

    async fn process_audio(&mut self, frame: AudioFrame) -> Result<Vec<AudioFrame>> {
        match self.chosen() {
            Some(case) => case.process_audio(frame).await,
            None => Ok(vec![frame]),
        }
    }

    fn takes_audio(&mut self) -> bool {
        self.cases.iter_mut().any(|(_, case)| case.takes_audio())
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        match self.chosen() {
            Some(case) => case.generate(timestamp).await,
            None => Ok(Generated::default()),
        }
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        let (chosen, shares) = self.share(params)?;
        self.chosen = chosen;
        let mut answers = Answers::default();
        if let Some(choice) = params.get(&self.parameter) {
            answers.add(Params::from_iter([(self.parameter.clone(), choice.clone())]), Ok(()));
        }
        for ((_, case), share) in self.cases.iter_mut().zip(shares) {
            if !share.is_empty() {
                let answer = case.update_params(&share).await;
                answers.add(share, answer);
            }
        }
        answers.whole()
    }

    async fn on_stream_start(&mut self, stream: &StreamContext) -> Result<()> {
        let (chosen, shares) = self.share(&stream.params)?;
        self.chosen = chosen;
        for ((_, case), share) in self.cases.iter_mut().zip(shares) {
            case.on_stream_start(&stream.with_params(share)).await?;
        }
        Ok(())
    }

    async fn on_stream_stop(&mut self) -> Result<()> {
        let mut stopped = Ok(());
        for (_, case) in &mut self.cases {
            stopped = stopped.and(case.on_stream_stop().await);
        }
        stopped
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::taking([self.parameter.as_str()])];
        parts.extend(self.cases.iter().flat_map(|(_, case)| case.parts()));
        parts
    }
}
