//! Paths and methods: which call is which.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tower_http::cors::CorsLayer;

use crate::answer::{Acknowledged, HealthAnswer, Identity, Status};
use crate::body::Payload;
use crate::refusal::Refusal;
use crate::request::Named;
use crate::worker::Worker;

/// The contract's routes, and the user's own behind them: a path of the contract cannot be taken over.
pub(crate) fn router(worker: Arc<Worker>, custom: Router) -> Router {
    let mut streams = Router::new().route("/live-video-to-video", post(start));
    for prefix in ["/api/stream", "/stream"] {
        streams = streams
            .route(&format!("{prefix}/start"), post(start))
            .route(&format!("{prefix}/params"), post(params))
            .route(&format!("{prefix}/stop"), post(stop))
            .route(&format!("{prefix}/status"), get(status));
    }
    let guarded = streams.route_layer(from_fn_with_state(Arc::clone(&worker), with_token));
    let router = Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/app-version", get(app_version))
        .route("/metrics", get(metrics))
        .route("/hardware/info", get(hardware_info))
        .route("/hardware/stats", get(hardware_stats))
        .merge(guarded);
    let custom = custom.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback_service(custom)
        .with_state(worker)
        .layer(CorsLayer::permissive())
}

type Answer<T> = Result<Json<T>, Refusal>;

/// Before the body is read: who has no token costs nothing.
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
) -> Answer<Acknowledged> {
    worker.start(named, body).await.map(Json)
}

async fn params(
    State(worker): State<Arc<Worker>>,
    Named(named): Named,
    Payload(body): Payload,
) -> Answer<Acknowledged> {
    worker.params(named, body).await.map(Json)
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

async fn health(State(worker): State<Arc<Worker>>) -> (StatusCode, Json<HealthAnswer>) {
    let (status, error) = worker.health();
    let code = if worker.is_unhealthy(status) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(HealthAnswer { status, error }))
}

async fn version(State(worker): State<Arc<Worker>>) -> Json<Identity> {
    Json(worker.identity.clone())
}

async fn app_version(State(worker): State<Arc<Worker>>) -> Response {
    Json(json!({ "version": worker.identity.version })).into_response()
}

async fn metrics(State(worker): State<Arc<Worker>>) -> Result<Response, Refusal> {
    let text = worker.metrics()?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

async fn hardware_info(State(worker): State<Arc<Worker>>) -> Response {
    let Identity { pipeline, model_id, .. } = &worker.identity;
    Json(json!({ "pipeline": pipeline, "model_id": model_id, "gpu_info": {} })).into_response()
}

async fn hardware_stats(State(worker): State<Arc<Worker>>) -> Response {
    let Identity { pipeline, model_id, .. } = &worker.identity;
    Json(json!({ "pipeline": pipeline, "model_id": model_id, "gpu_stats": {} })).into_response()
}

async fn not_found(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format_args!("there is nothing at {}", uri.path()))
}

async fn method_not_allowed(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format_args!("{} does not take this method", uri.path()))
}
