//! Sockets: accepting connections, serving HTTP/1.1 on them, and closing them in order.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cutrickle_error::chain;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::limits::Limits;

/// The pause after a connection could not be accepted, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The open connections of a server.
pub(crate) struct Connections {
    listener: TcpListener,
    router: Router,
    limits: Limits,
    open: JoinSet<()>,
    permits: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener, router: Router, limits: Limits) -> Self {
        Self {
            listener,
            router,
            open: JoinSet::new(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            limits,
            closing: watch::Sender::new(false),
        }
    }

    /// Accepts connections until `shutdown` resolves.
    pub(crate) async fn accept_until(&mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                accepted = accept(&self.listener, &self.permits) => match accepted {
                    Ok((socket, permit)) => {
                        let serving =
                            serve(socket, self.router.clone(), &self.limits, self.closing.subscribe());
                        self.open.spawn(async move {
                            serving.await;
                            drop(permit);
                        });
                    }
                    Err(e) => {
                        tracing::warn!("a connection could not be taken: {}", chain(&e));
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Finished connections are forgotten as they finish.
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    /// Closes the socket and every connection that waits for a request; requests that are being answered go
    /// on.
    pub(crate) fn close(self) -> JoinSet<()> {
        self.closing.send_replace(true);
        self.open
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, permit))
}

fn serve(
    socket: TcpStream,
    router: Router,
    limits: &Limits,
    mut closing: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    // Answers are small: waiting for more to send with them only delays them.
    let _ = socket.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        // A caller that closes its side after its request still wants the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router))
        .with_upgrades();
    async move {
        let mut connection = pin!(connection);
        let closed = async {
            let _ = closing.wait_for(|closing| *closing).await;
        };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = closed => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(e) = result {
            tracing::debug!("a connection ended early: {}", chain(&e));
        }
    }
}
