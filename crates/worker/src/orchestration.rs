//! How a worker makes itself known to an orchestrator: arguments, or PyTrickle's environment variables.

use cutrickle_server::{LiveRunner, Registration, StreamServerBuilder};

use crate::Failure;

/// Arguments about an orchestrator.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Orchestrator")]
pub struct Orchestration {
    /// Base URL of an orchestrator to register with, once the processor is initialised.
    #[arg(long, env = "ORCH_URL", value_name = "URL")]
    orch_url: Option<String>,
    /// The orchestrator's secret.
    #[arg(
        long,
        env = "ORCH_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    orch_secret: String,
    /// URL at which the orchestrator reaches this worker.
    #[arg(long, env = "CAPABILITY_URL", value_name = "URL")]
    capability_url: Option<String>,
    /// One-line description of the worker.
    #[arg(long, env = "CAPABILITY_DESCRIPTION", default_value = "", hide_default_value = true)]
    capability_description: String,
    /// Price of `--price-scaling` units of work.
    #[arg(long, env = "CAPABILITY_PRICE_PER_UNIT", default_value_t = 0)]
    price_per_unit: i64,
    /// Number of units of work that the price is for.
    #[arg(long, env = "CAPABILITY_PRICE_SCALING", default_value_t = 1)]
    price_scaling: i64,
    /// Currency of the price: `wei` or `usd`; the orchestrator chooses if left out.
    #[arg(long, env = "CAPABILITY_CURRENCY", default_value = "", hide_default_value = true)]
    currency: String,
    /// Run as a live runner. `dynamic` sends heartbeats to the orchestrator. For `static` the operator lists
    /// this worker, and `/health` answers 503 until it can take a stream.
    #[arg(long, value_enum, value_name = "MODE")]
    live_runner: Option<Mode>,
    /// Application of a live runner; `live-video-to-video/<capability name>` if left out.
    #[arg(long, env = "LIVE_RUNNER_APP", value_name = "APP")]
    live_runner_app: Option<String>,
    /// Price in US dollars for one hour of one stream on a live runner.
    #[arg(long, env = "LIVE_RUNNER_PRICE", value_name = "USD")]
    live_runner_price: Option<f64>,
}

/// How a live runner becomes known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Dynamic,
    Static,
}

impl Orchestration {
    /// Sets up the server as these arguments say. `name` is the capability's.
    ///
    /// # Errors
    /// An argument is missing that another one needs.
    pub fn apply(self, server: StreamServerBuilder, name: &str) -> Result<StreamServerBuilder, Failure> {
        let wanted = |flag: &str, with: &str| Failure::usage(format!("{flag} is wanted with {with}"));
        let server = server.strict_health(self.live_runner == Some(Mode::Static));
        let Some(orchestrator) = self.orch_url else {
            return match self.live_runner {
                Some(Mode::Dynamic) => Err(wanted("--orch-url", "--live-runner dynamic")),
                _ => Ok(server),
            };
        };
        let url = self.capability_url.ok_or_else(|| wanted("--capability-url", "--orch-url"))?;
        if self.live_runner == Some(Mode::Dynamic) {
            let price = self
                .live_runner_price
                .and_then(serde_json::Number::from_f64)
                .ok_or_else(|| wanted("--live-runner-price", "--live-runner dynamic"))?;
            let app = self.live_runner_app.unwrap_or_else(|| format!("live-video-to-video/{name}"));
            let mut runner = LiveRunner::new(orchestrator, url, app, price);
            runner.secret = self.orch_secret;
            return Ok(server.live_runner(runner));
        }
        let mut registration = Registration::new(orchestrator, url);
        registration.secret = self.orch_secret;
        registration.description = self.capability_description;
        registration.price_per_unit = self.price_per_unit;
        registration.price_scaling = self.price_scaling;
        registration.currency = self.currency;
        Ok(server.register(registration))
    }
}
