//! Streams.
//!
//! Each is a queue with a thread of its own, which runs one operation after another, with a random pause
//! before each.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::context::{self, Context};
use crate::call::entry_points;
use crate::chance::Chance;
use crate::pointer::{Host, Out};
use crate::report;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table, lock};

/// A stream.
pub(crate) struct Stream {
    pub(crate) context: &'static Context,
    flags: c_uint,
    priority: c_int,
    number: u64,
    queue: Mutex<Queue>,
    /// Signalled when an operation is queued or the queue is closed.
    filled: Condvar,
    /// Signalled when an operation is done.
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    operations: VecDeque<Operation>,
    submitted: u64,
    finished: u64,
    closed: bool,
}

/// Work for the device. It is dropped without running if earlier work in the context has failed.
type Operation = Box<dyn FnOnce() -> Result<(), Fault> + Send>;

/// Why an operation failed on the device.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) status: Status,
}

static STREAMS: Table<Stream> = Table::new();
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// The handles of the NULL stream: 0, `CU_STREAM_LEGACY` and `CU_STREAM_PER_THREAD`.
const NULL_STREAMS: [Handle; 3] = [0, 1, 2];

thread_local! {
    static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is running a host function of a stream, which must not call CUDA.
pub(crate) fn in_host_function() -> bool {
    IN_HOST_FUNCTION.get()
}

/// How many streams have not been destroyed.
pub(crate) fn live() -> usize {
    STREAMS.len()
}

/// Waits until all work that was submitted to a context's streams is done.
pub(crate) fn drain(context: &Context) {
    for stream in STREAMS.all().iter().filter(|stream| std::ptr::eq(stream.context, context)) {
        stream.wait();
    }
}

/// The stream that a handle stands for.
///
/// # Errors
/// The handle is the NULL stream's, is not a stream's, or belongs to another context than the current one.
pub(crate) fn find(name: &str, handle: Handle) -> Answer<Arc<Stream>> {
    find_for(name, handle, context::current()?)
}

/// The stream that a handle stands for, which has to belong to `context` whatever context is current.
///
/// # Errors
/// As for [`find`].
pub(crate) fn find_for(name: &str, handle: Handle, context: &Context) -> Answer<Arc<Stream>> {
    if NULL_STREAMS.contains(&handle) {
        report::wrong(name, "the NULL stream takes no work here");
        return Err(Status::NOT_PERMITTED);
    }
    let Some(stream) = STREAMS.get(handle) else {
        report::wrong(name, "there is no such stream");
        return Err(Status::INVALID_HANDLE);
    };
    if !std::ptr::eq(stream.context, context) {
        report::wrong(name, "the stream is of another context");
        return Err(Status::INVALID_CONTEXT);
    }
    Ok(stream)
}

impl Stream {
    fn create(context: &'static Context, flags: c_uint, priority: c_int) -> Answer<Handle> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(Self {
            context,
            flags,
            priority,
            number,
            queue: Mutex::default(),
            filled: Condvar::new(),
            done: Condvar::new(),
        });
        let of_thread = Arc::clone(&stream);
        thread::Builder::new()
            .name(format!("stand-in {number}"))
            .spawn(move || of_thread.work())
            .map_err(|_| Status::OUT_OF_MEMORY)?;
        Ok(STREAMS.insert(stream))
    }

    /// Queues an operation after those that are already there.
    pub(crate) fn submit(&self, operation: impl FnOnce() -> Result<(), Fault> + Send + 'static) {
        let mut queue = lock(&self.queue);
        queue.operations.push_back(Box::new(operation));
        queue.submitted += 1;
        self.filled.notify_one();
    }

    /// Waits until everything that has been submitted so far is done.
    pub(crate) fn wait(&self) {
        let mut queue = lock(&self.queue);
        let until = queue.submitted;
        while queue.finished < until {
            queue = self.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_idle(&self) -> bool {
        let queue = lock(&self.queue);
        queue.finished == queue.submitted
    }

    fn close(&self) {
        lock(&self.queue).closed = true;
        self.filled.notify_one();
    }

    /// Runs on the stream's thread.
    fn work(&self) {
        let mut chance = Chance::new(self.number);
        loop {
            let operation = {
                let mut queue = lock(&self.queue);
                loop {
                    match queue.operations.pop_front() {
                        Some(operation) => break operation,
                        None if queue.closed => return,
                        None => queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            };
            chance.pause();
            if self.context.check().is_err() {
                drop(operation);
            } else if let Err(fault) = operation() {
                self.context.fail(&fault.what, fault.status);
            }
            lock(&self.queue).finished += 1;
            self.done.notify_all();
        }
    }
}

type HostFunction = extern "C" fn(*mut c_void);

/// `CU_STREAM_NON_BLOCKING`. Without it a stream would wait for the NULL stream, which never has any work.
const KNOWN_FLAGS: c_uint = 1;

fn create(name: &str, to: Out<Handle>, flags: c_uint, priority: c_int) -> Answer {
    if flags & !KNOWN_FLAGS != 0 {
        report::wrong(name, "unknown flags");
        return Err(Status::INVALID_VALUE);
    }
    to.put(Stream::create(context::current()?, flags, priority)?)
}

entry_points! {
    fn cuStreamCreate(stream: Out<Handle>, flags: c_uint) needs Context {
        create("cuStreamCreate", stream, flags, 0)
    }

    fn cuStreamCreateWithPriority(stream: Out<Handle>, flags: c_uint, priority: c_int) needs Context {
        create("cuStreamCreateWithPriority", stream, flags, priority)
    }

    fn cuStreamDestroy_v2(stream: Handle) needs Context {
        find("cuStreamDestroy_v2", stream)?;
        // Work that was submitted before is still done.
        STREAMS.remove(stream).ok_or(Status::INVALID_HANDLE)?.close();
        Ok(())
    }

    fn cuStreamSynchronize(stream: Handle) needs Context {
        let stream = find("cuStreamSynchronize", stream)?;
        stream.wait();
        stream.context.check()
    }

    fn cuStreamQuery(stream: Handle) needs Context {
        let stream = find("cuStreamQuery", stream)?;
        if stream.is_idle() { Ok(()) } else { Err(Status::NOT_READY) }
    }

    fn cuStreamGetCtx(stream: Handle, context: Out<Handle>) needs Context {
        context.put(find("cuStreamGetCtx", stream)?.context.handle())
    }

    fn cuStreamGetFlags(stream: Handle, flags: Out<c_uint>) needs Context {
        flags.put(find("cuStreamGetFlags", stream)?.flags)
    }

    fn cuStreamGetPriority(stream: Handle, priority: Out<c_int>) needs Context {
        priority.put(find("cuStreamGetPriority", stream)?.priority)
    }

    fn cuStreamIsCapturing(stream: Handle, status: Out<c_int>) needs Context {
        find("cuStreamIsCapturing", stream)?;
        status.put(0)
    }

    fn cuLaunchHostFunc(stream: Handle, function: Option<HostFunction>, data: Host) needs Context {
        let stream = find("cuLaunchHostFunc", stream)?;
        let function = function.ok_or(Status::INVALID_VALUE)?;
        stream.submit(move || {
            IN_HOST_FUNCTION.set(true);
            let whole = data;
            function(whole.0);
            IN_HOST_FUNCTION.set(false);
            Ok(())
        });
        Ok(())
    }
}
