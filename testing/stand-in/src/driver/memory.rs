//! Device memory.
//!
//! Device addresses come from a reserved range that nothing is mapped to, so host code that follows one is
//! stopped, as with a real device. The contents are stored elsewhere. Only operations of streams reach them,
//! each after checking that its whole range lies in one live allocation. No address is given out twice.

use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use super::context::{self, Context};
use super::stream::{self, Fault};
use crate::call::entry_points;
use crate::guarded::{FREED, Guarded};
use crate::pointer::Out;
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};
use crate::table::{Handle, lock};

/// How many addresses are reserved.
const WINDOW: u64 = 1 << 40;
/// At least this many addresses stay unused between two allocations.
const GAP: u64 = 4096;
const ALIGNMENT: u64 = 512;

/// An allocation or a decoder's surface.
pub(crate) struct Block {
    device: usize,
    pub(crate) address: u64,
    pub(crate) size: u64,
    kind: Kind,
    state: AtomicU8,
    /// Whether the caller has asked for the block to be freed.
    freeing: AtomicBool,
    /// The contents, until the block is freed.
    stored: Mutex<Option<Arc<Guarded>>>,
}

/// Where a block comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `cuMemAlloc`.
    Allocation,
    /// `cuMemAllocAsync`, which allocates from a pool.
    Pooled,
    /// A decoder's surface.
    Surface,
}

/// The state of a block whose stream has not reached the allocation yet.
const PENDING: u8 = 0;
const LIVE: u8 = 1;
const DEAD: u8 = 2;

/// A range of a live block, which stays readable and writable as long as this exists.
pub(crate) struct Range {
    stored: Arc<Guarded>,
    offset: usize,
}

impl Range {
    /// The address of its first byte in host memory.
    pub(crate) fn host(&self) -> *mut u8 {
        self.stored.at(self.offset)
    }
}

#[derive(Default)]
struct Blocks {
    by_address: BTreeMap<u64, Arc<Block>>,
    /// Where the next block may begin.
    next: u64,
}

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks { by_address: BTreeMap::new(), next: 0 });
/// The bytes in use on each device.
static USED: LazyLock<Vec<AtomicU64>> =
    LazyLock::new(|| (0..SETTINGS.devices).map(|_| AtomicU64::new(0)).collect());

/// Dead blocks are remembered so that use after free can be reported as such, up to this many blocks.
const MAX_REMEMBERED: usize = 16_384;

static RESERVED: LazyLock<Option<u64>> = LazyLock::new(|| {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: this makes a new mapping that can be neither read nor written.
    let begin = unsafe { libc::mmap(std::ptr::null_mut(), WINDOW as usize, libc::PROT_NONE, flags, -1, 0) };
    (begin != libc::MAP_FAILED).then_some(begin.addr() as u64)
});

/// How many allocations the caller has not asked to be freed.
///
/// The streams need not have freed the others by the end of the process.
pub(crate) fn live() -> usize {
    let blocks = lock(&BLOCKS);
    let is_live = |block: &&Arc<Block>| block.kind != Kind::Surface && !block.freeing.load(Ordering::Acquire);
    blocks.by_address.values().filter(is_live).count()
}

/// Whether an address is a device address.
pub(crate) fn is_device(address: u64) -> bool {
    RESERVED.is_some_and(|begin| (begin..begin + WINDOW).contains(&address))
}

/// The free and the total bytes of a device.
pub(crate) fn room(device: usize) -> (u64, u64) {
    let used = USED.get(device).map_or(0, |used| used.load(Ordering::Acquire));
    (SETTINGS.memory.saturating_sub(used), SETTINGS.memory)
}

impl Block {
    fn new(context: &Context, size: u64, state: u8, kind: Kind) -> Answer<Arc<Self>> {
        if size == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let begin = RESERVED.ok_or(Status::OUT_OF_MEMORY)?;
        let used = USED.get(context.device).ok_or(Status::INVALID_DEVICE)?;
        let more = |now: u64| now.checked_add(size).filter(|&then| then <= SETTINGS.memory);
        used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map_err(|_| Status::OUT_OF_MEMORY)?;
        let stored = usize::try_from(size).map_err(|_| Status::OUT_OF_MEMORY).and_then(Guarded::new);
        let stored = stored.inspect_err(|_| {
            used.fetch_sub(size, Ordering::AcqRel);
        })?;

        let mut blocks = lock(&BLOCKS);
        let length = size.next_multiple_of(ALIGNMENT) + GAP;
        if blocks.next + length > WINDOW {
            return Err(Status::OUT_OF_MEMORY);
        }
        let address = begin + GAP + blocks.next;
        blocks.next += length;
        let block = Arc::new(Self {
            device: context.device,
            address,
            size,
            kind,
            state: AtomicU8::new(state),
            freeing: AtomicBool::new(false),
            stored: Mutex::new(Some(Arc::new(stored))),
        });
        blocks.by_address.insert(address, Arc::clone(&block));
        while blocks.by_address.len() > MAX_REMEMBERED {
            let dead = |(_, block): &(&u64, &Arc<Self>)| block.state.load(Ordering::Acquire) == DEAD;
            let Some(oldest) = blocks.by_address.iter().find(dead).map(|(&address, _)| address) else {
                break;
            };
            blocks.by_address.remove(&oldest);
        }
        Ok(block)
    }

    /// Allocates memory that is usable at once.
    pub(crate) fn allocate(context: &Context, size: u64) -> Answer<Arc<Self>> {
        Self::new(context, size, LIVE, Kind::Allocation)
    }

    /// Allocates a decoder's surface, which cannot be freed by its address.
    pub(crate) fn surface(context: &Context, size: u64) -> Answer<Arc<Self>> {
        Self::new(context, size, LIVE, Kind::Surface)
    }

    /// Overwrites the contents and drops them. Operations that are still using the block read the new
    /// filling.
    pub(crate) fn end(&self) {
        if self.state.swap(DEAD, Ordering::AcqRel) == DEAD {
            return;
        }
        if let Some(stored) = lock(&self.stored).take() {
            if !stored.is_intact() {
                report::wrong("device", &format!("the allocation at {:#x} was overrun", self.address));
            }
            stored.fill(FREED);
        }
        if let Some(used) = USED.get(self.device) {
            used.fetch_sub(self.size, Ordering::AcqRel);
        }
    }
}

fn at_or_before(address: u64) -> Option<Arc<Block>> {
    lock(&BLOCKS).by_address.range(..=address).next_back().map(|(_, block)| Arc::clone(block))
}

/// The range of `length` bytes at `address`, for work on a context's device.
///
/// # Errors
/// The range does not lie in one live allocation of that device.
pub(crate) fn range(context: &Context, address: u64, length: u64) -> Result<Range, Fault> {
    let fault = |what: &str| Fault {
        what: format!("{length} bytes at {address:#x}: {what}"),
        status: Status::ILLEGAL_ADDRESS,
    };
    if !is_device(address) {
        return Err(fault("no device memory"));
    }
    let block = at_or_before(address).ok_or_else(|| fault("not allocated"))?;
    let offset = address - block.address;
    if offset >= block.size {
        return Err(fault(&format!(
            "not allocated; {} bytes at {:#x} end before",
            block.size, block.address
        )));
    }
    if length > block.size - offset {
        return Err(fault(&format!("beyond the end of {} bytes at {:#x}", block.size, block.address)));
    }
    if block.device != context.device {
        return Err(fault("another device's memory"));
    }
    let stored = match block.state.load(Ordering::Acquire) {
        PENDING => return Err(fault("used before the stream that allocates it came to that")),
        DEAD => None,
        _ => lock(&block.stored).clone(),
    };
    let stored = stored.ok_or_else(|| fault("used after it was freed"))?;
    Ok(Range { stored, offset: offset as usize })
}

/// Whether a range can be registered with the encoder.
///
/// It has to lie in a live allocation of the context's device that does not come from a pool.
pub(crate) fn can_be_registered(context: &Context, address: u64, length: u64) -> bool {
    at_or_before(address).is_some_and(|block| {
        let offset = address - block.address;
        let inside = offset < block.size && length <= block.size - offset;
        inside
            && block.kind == Kind::Allocation
            && block.device == context.device
            && !block.freeing.load(Ordering::Acquire)
    })
}

/// Finds the block that begins at `address` and marks it as being freed.
fn to_free(name: &str, address: u64) -> Answer<Arc<Block>> {
    let block = at_or_before(address).filter(|block| block.address == address && block.kind != Kind::Surface);
    let Some(block) = block else {
        report::wrong(name, &format!("nothing was allocated at {address:#x}"));
        return Err(Status::INVALID_VALUE);
    };
    if block.device != context::current()?.device {
        report::wrong(name, "another device's memory");
        return Err(Status::INVALID_VALUE);
    }
    if block.freeing.swap(true, Ordering::AcqRel) {
        report::wrong(name, &format!("{address:#x} was freed before"));
        return Err(Status::INVALID_VALUE);
    }
    Ok(block)
}

/// Allocates in a stream's order.
pub(crate) fn allocate_in_order(name: &str, to: Out<u64>, size: usize, stream: Handle) -> Answer {
    let stream = stream::find(name, stream)?;
    let block = Block::new(stream.context, size as u64, PENDING, Kind::Pooled)?;
    to.put(block.address)?;
    stream.submit(move || {
        block.state.store(LIVE, Ordering::Release);
        Ok(())
    });
    Ok(())
}

entry_points! {
    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) needs Context {
        let (left, of) = room(context::current()?.device);
        free.put(left as usize)?;
        total.put(of as usize)
    }

    fn cuMemAlloc_v2(address: Out<u64>, size: usize) needs Context {
        address.put(Block::allocate(context::current()?, size as u64)?.address)
    }

    fn cuMemAllocPitch_v2(
        address: Out<u64>,
        pitch: Out<usize>,
        width: usize,
        height: usize,
        _element: c_uint,
    ) needs Context {
        let row = width.checked_next_multiple_of(512).ok_or(Status::OUT_OF_MEMORY)?;
        let size = row.checked_mul(height).ok_or(Status::OUT_OF_MEMORY)?;
        pitch.put(row)?;
        address.put(Block::allocate(context::current()?, size as u64)?.address)
    }

    fn cuMemFree_v2(address: u64) needs Context {
        if address == 0 {
            return Ok(());
        }
        let block = to_free("cuMemFree_v2", address)?;
        // The real function waits for the device as well.
        stream::drain(context::current()?);
        block.end();
        Ok(())
    }

    fn cuMemAllocAsync(address: Out<u64>, size: usize, stream: Handle) needs Context {
        allocate_in_order("cuMemAllocAsync", address, size, stream)
    }

    fn cuMemFreeAsync(address: u64, stream: Handle) needs Context {
        let stream = stream::find("cuMemFreeAsync", stream)?;
        let block = to_free("cuMemFreeAsync", address)?;
        stream.submit(move || {
            if block.state.load(Ordering::Acquire) == PENDING {
                let address = block.address;
                let what = format!("{address:#x} is freed before the stream that allocates it came to that");
                return Err(Fault { what, status: Status::ILLEGAL_ADDRESS });
            }
            block.end();
            Ok(())
        });
        Ok(())
    }
}
