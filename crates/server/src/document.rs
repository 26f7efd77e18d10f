//! The OpenAPI document. It is made of the routes as they are added, and of the types that are read and sent,
//! so that the document and the server cannot differ. What the routes do is `routes`' and `worker`'s
//! business.

use axum::http::{StatusCode, header};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Header, InfoBuilder, OpenApiBuilder, Paths, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::body::MAX_BYTES;
use crate::refusal::ErrorAnswer;
use crate::request::{MAX_ID, STREAM_ID, STREAM_QUERY, StreamId};

/// The name of the token in the document.
const TOKEN: &str = "token";
const JSON: &str = "application/json";

/// Routes, and their descriptions.
pub(crate) struct Api<S> {
    router: Router<S>,
    paths: Paths,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), paths: Paths::new(), schemas: Vec::new() }
    }

    /// Adds a route. `handler` takes GET or POST, as `call` says.
    pub(crate) fn route(mut self, path: &str, handler: MethodRouter<S>, call: &Call) -> Self {
        self.describe(path, call);
        Self { router: self.router.route(path, handler), ..self }
    }

    fn describe(&mut self, path: &str, call: &Call) {
        let mut operation = call.operation.clone();
        operation.operation_id = Some(path.trim_start_matches('/').replace(['/', '.', '-'], "_"));
        self.paths.add_path_operation(path, vec![call.method()], operation);
        self.schemas.extend_from_slice(&call.schemas);
    }

    /// The routes, and one more at `path` that answers with the document, which includes itself.
    pub(crate) fn finish(mut self, path: &str) -> Router<S> {
        self.describe(path, &Call::get("This document").answers_object("OpenAPI 3.1"));
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "The worker's token, where it has one. A worker without a token takes all calls.",
        ));
        let components = ComponentsBuilder::new()
            .schemas_from_iter(self.schemas)
            .security_scheme(TOKEN, SecurityScheme::Http(token.build()));
        let info = InfoBuilder::new()
            .title("CuTrickle worker")
            .description(Some(ABOUT))
            .version(env!("CARGO_PKG_VERSION"));
        let document =
            OpenApiBuilder::new().info(info).paths(self.paths).components(Some(components.build())).build();
        self.router.route(path, get(move || std::future::ready(Json(document))))
    }
}

/// What is true of all calls.
const ABOUT: &str = "The REST contract of a live video worker: streams are started, given parameters, asked about and \
    stopped. A request that is not carried out is answered `{\"error\": \"<one line>\"}`. Beside the codes of each \
    call there are 404 and 405 for paths and methods that are not here, and 400, 414 and 431 without a body for what \
    is no HTTP or whose head is too long. GET may be HEAD. Browsers may call from any origin. The application may \
    add paths of its own, which are not described here.";

/// What one call takes and answers.
#[derive(Clone)]
pub(crate) struct Call {
    get: bool,
    operation: Operation,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Call {
    pub(crate) fn get(summary: &str) -> Self {
        Self::new(true, summary)
    }

    pub(crate) fn post(summary: &str) -> Self {
        Self::new(false, summary)
    }

    fn new(get: bool, summary: &str) -> Self {
        let operation = OperationBuilder::new().summary(Some(summary)).build();
        Self { get, operation, schemas: Vec::new() }
    }

    fn method(&self) -> HttpMethod {
        if self.get { HttpMethod::Get } else { HttpMethod::Post }
    }

    /// Needs the worker's token, where it has one.
    pub(crate) fn guarded(mut self) -> Self {
        let nothing: [&str; 0] = [];
        self.operation.security =
            Some(vec![SecurityRequirement::default(), SecurityRequirement::new(TOKEN, nothing)]);
        let refusal = self
            .response::<ErrorAnswer>("The worker has a token, and the call does not show it")
            .header(header::WWW_AUTHENTICATE.as_str(), Header::default());
        self.answer(StatusCode::UNAUTHORIZED, refusal)
    }

    /// The same for a call that may name a stream, as [`Named`](crate::request::Named) reads it.
    pub(crate) fn about_a_stream(self) -> Self {
        let mut call = self.guarded();
        // A header holds fewer characters than a name may have.
        let ascii =
            ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_ID)).pattern(Some("^[ -~]*$"));
        let by_header = ParameterBuilder::new()
            .name(STREAM_ID)
            .parameter_in(ParameterIn::Header)
            .description(Some("The stream that is meant. Goes before all else."))
            .schema(Some(ascii.build()));
        let by_query = ParameterBuilder::new()
            .name(STREAM_QUERY)
            .parameter_in(ParameterIn::Query)
            .description(Some("The same, where there is no header."))
            .schema(Some(call.learn::<StreamId>()));
        call.operation.parameters = Some(vec![by_header.build().into(), by_query.build().into()]);
        call.refuses(StatusCode::BAD_REQUEST, "A malformed request, or a stream that does not run")
    }

    /// Reads a body. Its `Content-Type` is not looked at, whatever the document says of it.
    pub(crate) fn takes<T: ToSchema>(mut self, required: Required, about: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(self.learn::<T>()));
        let body = RequestBodyBuilder::new().description(Some(about)).required(Some(required));
        self.operation.request_body = Some(body.content(JSON, content.build()).build().into());
        self.refuses(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time").refuses(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("The body is larger than {} MiB", MAX_BYTES >> 20),
        )
    }

    /// Answers with JSON.
    pub(crate) fn answers<T: ToSchema>(mut self, status: StatusCode, when: &str) -> Self {
        let response = self.response::<T>(when);
        self.answer(status, response)
    }

    /// Answers with a [`Refusal`](crate::refusal::Refusal).
    pub(crate) fn refuses(self, status: StatusCode, when: &str) -> Self {
        self.answers::<ErrorAnswer>(status, when)
    }

    /// Answers with a JSON object that has no type of its own.
    pub(crate) fn answers_object(self, when: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
        self.answer(StatusCode::OK, ResponseBuilder::new().description(when).content(JSON, content))
    }

    /// Answers with text of that type.
    pub(crate) fn answers_text(self, content_type: &str, when: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(String::schema())).build();
        self.answer(StatusCode::OK, ResponseBuilder::new().description(when).content(content_type, content))
    }

    fn answer(mut self, status: StatusCode, response: ResponseBuilder) -> Self {
        self.operation.responses.responses.insert(status.as_str().into(), response.build().into());
        self
    }

    fn response<T: ToSchema>(&mut self, when: &str) -> ResponseBuilder {
        let content = ContentBuilder::new().schema(Some(self.learn::<T>())).build();
        ResponseBuilder::new().description(when).content(JSON, content)
    }

    /// Adds a type and everything that it is made of to the document, and refers to it.
    fn learn<T: ToSchema>(&mut self) -> Ref {
        self.schemas.push((T::name().into(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name())
    }
}
