//! Paths and methods: which call is which.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::Value;
use tower_http::cors::CorsLayer;
use utoipa::openapi::Required;

use crate::answer::{
    Acknowledged, AppVersion, HardwareInfo, HardwareStats, HealthAnswer, Identity, Started, Status,
};
use crate::body::Payload;
use crate::document::{Api, Call};
use crate::refusal::Refusal;
use crate::request::{self, Named};
use crate::worker::Worker;

/// Where the OpenAPI document is.
const DOCUMENT: &str = "/openapi.json";
/// The type of the metrics.
const PROMETHEUS: &str = "text/plain; version=0.0.4";

/// The contract's routes, and the user's own behind them: a path of the contract cannot be taken over.
pub(crate) fn router(worker: Arc<Worker>, custom: Router) -> Router {
    let router = api(&worker).finish(DOCUMENT);
    let custom = custom.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback_service(custom)
        .with_state(worker)
        .layer(CorsLayer::permissive())
}

const OK: StatusCode = StatusCode::OK;
const CONFLICT: StatusCode = StatusCode::CONFLICT;
const INTERNAL: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The routes as the document has them.
fn api(worker: &Arc<Worker>) -> Api<Arc<Worker>> {
    let which = "Several streams run, and the call does not say which it means";
    let start_call = Call::post("Starts a stream, and does not wait for its media")
        .about_a_stream()
        .takes::<request::Start>(Required::True, "JSON, whatever its `Content-Type`.")
        .answers::<Started>(OK, "The stream runs")
        .refuses(INTERNAL, "The stream could not be started for a reason of the worker's own")
        .refuses(UNAVAILABLE, "Loading, failed to load, at capacity, or shutting down: try another worker");
    let params_call = Call::post("Gives a running stream new parameters")
        .about_a_stream()
        .takes::<request::NewParams>(Required::True, "JSON, whatever its `Content-Type`.")
        .answers::<Acknowledged>(OK, "They are in force")
        .answers::<Acknowledged>(
            StatusCode::ACCEPTED,
            "The processor is busy, and has not said within 2 s whether it takes them",
        )
        .refuses(CONFLICT, which)
        .refuses(INTERNAL, "A fault of the worker's own");
    let stop_call = Call::post("Ends a stream, and answers when its place is free")
        .about_a_stream()
        .takes::<request::Stop>(Required::False, "Anything; what is no JSON object is ignored.")
        .answers::<Acknowledged>(OK, "The stream has ended")
        .refuses(CONFLICT, which)
        .refuses(INTERNAL, "A fault of the worker's own");
    let status_call = Call::get("How the worker and its streams are doing")
        .about_a_stream()
        .answers::<Status>(OK, "The status");
    let schema_call = Call::get("The JSON schema of the processor's parameters, also while it loads")
        .guarded()
        .answers_object("A JSON schema: the names, types, ranges and defaults of what `params` may hold");
    let guarded = |handler: MethodRouter<Arc<Worker>>| {
        handler.route_layer(from_fn_with_state(Arc::clone(worker), with_token))
    };
    let mut api = Api::new().route("/live-video-to-video", guarded(post(start)), &start_call);
    api = api.route("/api/stream/schema", guarded(get(schema)), &schema_call);
    for prefix in ["/api/stream", "/stream"] {
        api = api
            .route(&format!("{prefix}/start"), guarded(post(start)), &start_call)
            .route(&format!("{prefix}/params"), guarded(post(params)), &params_call)
            .route(&format!("{prefix}/stop"), guarded(post(stop)), &stop_call)
            .route(&format!("{prefix}/status"), guarded(get(status)), &status_call);
    }
    let health_call = Call::get("Whether the worker is well")
        .answers::<HealthAnswer>(
            OK,
            "It is well: `OK` while streams run, whatever their state, else `IDLE`; `LOADING` unless it is strict",
        )
        .answers::<HealthAnswer>(
            UNAVAILABLE,
            "It has failed to load; or it is loading, and strict about that",
        );
    api.route("/health", get(health), &health_call)
        .route(
            "/version",
            get(version),
            &Call::get("What the worker is").answers::<Identity>(OK, "Its names"),
        )
        .route(
            "/app-version",
            get(app_version),
            &Call::get("The application's version").answers::<AppVersion>(OK, "The version"),
        )
        .route(
            "/metrics",
            get(metrics),
            &Call::get("Everything that is counted")
                .answers_text(PROMETHEUS, "Prometheus text, format 0.0.4")
                .refuses(INTERNAL, "A fault of the worker's own"),
        )
        .route(
            "/hardware/info",
            get(hardware_info),
            &Call::get("The GPUs")
                .answers::<HardwareInfo>(OK, "The GPUs by number, none without a driver")
                .refuses(INTERNAL, "A fault of the worker's own"),
        )
        .route(
            "/hardware/stats",
            get(hardware_stats),
            &Call::get("How busy the GPUs are")
                .answers::<HardwareStats>(OK, "The GPUs by number, none without a driver"),
        )
}

type Answer<T> = Result<Json<T>, Refusal>;

/// Checked before the body is read: a call without the token costs nothing.
async fn with_token(
    State(worker): State<Arc<Worker>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    worker.token.check(&headers)?;
    Ok(next.run(request).await)
}

async fn start(
    State(worker): State<Arc<Worker>>,
    Named(named): Named,
    Payload(body): Payload,
) -> Answer<Started> {
    worker.start(named, body).await.map(Json)
}

async fn params(
    State(worker): State<Arc<Worker>>,
    Named(named): Named,
    Payload(body): Payload,
) -> Result<(StatusCode, Json<Acknowledged>), Refusal> {
    worker.params(named, body).await.map(|(code, answer)| (code, Json(answer)))
}

async fn stop(
    State(worker): State<Arc<Worker>>,
    Named(named): Named,
    Payload(body): Payload,
) -> Answer<Acknowledged> {
    worker.stop(named, body).await.map(Json)
}

async fn status(State(worker): State<Arc<Worker>>, Named(named): Named) -> Answer<Status> {
    worker.status(named.as_deref()).map(Json)
}

async fn schema(State(worker): State<Arc<Worker>>) -> Json<Value> {
    Json(worker.schema.clone())
}

async fn health(State(worker): State<Arc<Worker>>) -> (StatusCode, Json<HealthAnswer>) {
    let health = worker.health();
    let code =
        if worker.is_unhealthy(health.status) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(health))
}

async fn version(State(worker): State<Arc<Worker>>) -> Json<Identity> {
    Json(worker.identity.clone())
}

async fn app_version(State(worker): State<Arc<Worker>>) -> Json<AppVersion> {
    Json(AppVersion { version: worker.identity.version.clone() })
}

async fn metrics(State(worker): State<Arc<Worker>>) -> Result<Response, Refusal> {
    let text = worker.metrics().await?;
    Ok(([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response())
}

async fn hardware_info(State(worker): State<Arc<Worker>>) -> Result<Response, Refusal> {
    let (gpus, machine) = (worker.gpus().await, worker.machine().await?);
    Ok(Json(HardwareInfo::new(worker.identity.clone(), &gpus, &machine)).into_response())
}

async fn hardware_stats(State(worker): State<Arc<Worker>>) -> Json<HardwareStats> {
    Json(HardwareStats::new(worker.identity.clone(), &worker.gpus().await))
}

async fn not_found(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format_args!("there is nothing at {}", uri.path()))
}

async fn method_not_allowed(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format_args!("{} does not take this method", uri.path()))
}
