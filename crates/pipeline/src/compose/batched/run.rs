//! The thread that calls the model.

use candle_core::Tensor;
use cutrickle_error::chain;

use super::queue::{Queue, Request};
use super::{BatchModel, Limits};
use crate::panics;
use crate::process::message;
use crate::{BoxError, Result};

/// Runs until `queue` is closed and empty.
pub(super) fn run<M: BatchModel>(mut model: M, queue: &Queue, limits: Limits) {
    while let Some(batch) = queue.batch(limits) {
        if let Some(sizes) = batch.first().and_then(|first| first.sizes.as_ref()) {
            sizes.observe(batch.len() as f64);
        }
        answer(&mut model, batch);
    }
}

fn answer<M: BatchModel>(model: &mut M, batch: Vec<Request>) {
    match together(model, &batch) {
        Ok(answers) => {
            for (request, pixels) in batch.into_iter().zip(answers) {
                // A stream that has ended in the meantime needs no answer.
                let _ = request.answer.send(Ok(pixels));
            }
        }
        Err(e) if batch.len() == 1 => {
            for request in batch {
                let _ = request.answer.send(Err(chain(&*e).to_string().into()));
            }
        }
        Err(e) => {
            tracing::debug!("a batch of {} is tried again one by one: {}", batch.len(), chain(&*e));
            for request in batch {
                let answers = together(model, std::slice::from_ref(&request));
                let one =
                    answers.and_then(|answers| answers.into_iter().next().ok_or_else(|| "no answer".into()));
                let _ = request.answer.send(one);
            }
        }
    }
}

/// Calls the model once for `batch`, and returns as many results as there are frames.
fn together<M: BatchModel>(model: &mut M, batch: &[Request]) -> Result<Vec<Tensor>> {
    let pixels: Vec<&Tensor> = batch.iter().map(|request| &request.pixels).collect();
    let frames = match pixels[..] {
        // A single frame is not stacked, because stacking copies.
        [frame] => frame.unsqueeze(0)?,
        _ => Tensor::stack(&pixels, 0)?,
    };
    let answers = panics::catch(|| model.forward(frames))
        .unwrap_or_else(|panic| Err(BoxError::from(format!("the model panicked: {}", message(&*panic)))))?;
    if answers.rank() != 4 || answers.dim(0)? != batch.len() {
        let shape = answers.dims();
        return Err(format!("a model that answers {} pictures by shape {shape:?}", batch.len()).into());
    }
    (0..batch.len()).map(|n| Ok(answers.get(n)?)).collect()
}
