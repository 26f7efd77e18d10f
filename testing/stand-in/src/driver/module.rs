//! Modules.
//!
//! The functions in the image of the project's kernels run as their host builds. Any other image is accepted,
//! but has no functions.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, Weak};

use cutrickle_host_kernels::Kernel;

use super::context::{self, Context};
use crate::call::entry_points;
use crate::pointer::{Host, In, Out, Text};
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table};

/// A loaded image.
struct Module {
    context: &'static Context,
    /// The image's bytes, if its format is known.
    image: Option<Vec<u8>>,
}

/// A kernel of a loaded image.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
    pub(crate) context: &'static Context,
    /// A function exists only as long as its module.
    module: Weak<Module>,
}

static MODULES: Table<Module> = Table::new();
static FUNCTIONS: Table<Function> = Table::new();

/// How many modules have not been unloaded.
pub(crate) fn live() -> usize {
    MODULES.len()
}

/// The function that a handle stands for.
pub(crate) fn function(name: &str, handle: Handle) -> Answer<Arc<Function>> {
    let function = FUNCTIONS.get(handle).filter(|function| function.module.strong_count() > 0);
    function.ok_or_else(|| {
        report::wrong(name, "there is no such function, or its module was unloaded");
        Status::INVALID_HANDLE
    })
}

/// The header of a fat binary, which holds code for several GPUs.
#[derive(Clone, Copy)]
#[repr(C)]
struct Head {
    magic: u32,
    version: u16,
    size: u16,
    rest: u64,
}

const MAGIC: u32 = 0xBA55_ED50;

/// Copies a fat binary. Returns `None` for images of other kinds, which are PTX and code for a single GPU.
fn image(at: Host) -> Answer<Option<Vec<u8>>> {
    let bytes: *const u8 = at.offset(0).cast_const();
    // The magic number is compared byte by byte, because PTX may be shorter than a header.
    for (i, expected) in MAGIC.to_le_bytes().into_iter().enumerate() {
        // SAFETY: the image has a byte here, because none of the bytes before it ends a text.
        if unsafe { bytes.add(i).read() } != expected {
            return Ok(None);
        }
    }
    // SAFETY: an image with this magic number begins with a whole header, and has the bytes that it
    // announces.
    let head = unsafe { bytes.cast::<Head>().read_unaligned() };
    let rest = usize::try_from(head.rest).map_err(|_| Status::INVALID_IMAGE)?;
    let length = usize::from(head.size).checked_add(rest).ok_or(Status::INVALID_IMAGE)?;
    if usize::from(head.size) < size_of::<Head>() || head.version == 0 {
        return Err(Status::INVALID_IMAGE);
    }
    // SAFETY: as above.
    Ok(Some(unsafe { std::slice::from_raw_parts(bytes, length) }.to_vec()))
}

fn load(module: Out<Handle>, at: Host) -> Answer {
    if at.address() == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let image = image(at)?;
    // The project's image has code for GPUs from this capability on.
    if image.is_some() && SETTINGS.capability < (8, 0) {
        return Err(Status::NO_BINARY_FOR_GPU);
    }
    module.put(MODULES.insert(Arc::new(Module { context: context::current()?, image })))
}

impl Module {
    /// Whether the image has a kernel of this name, whose code would be in a section named after it.
    fn holds(&self, name: &str) -> bool {
        let section = format!(".text.{name}\0");
        self.image
            .as_ref()
            .is_some_and(|image| image.windows(section.len()).any(|at| at == section.as_bytes()))
    }
}

/// The value of a `CUfunction_attribute`.
fn attribute(which: c_int) -> Option<c_int> {
    match which {
        // The most threads in a block.
        0 => Some(1024),
        // Shared, constant and local memory.
        1..=3 => Some(0),
        // Registers.
        4 => Some(64),
        _ => None,
    }
}

entry_points! {
    fn cuModuleLoadData(module: Out<Handle>, image: Host) needs Context { load(module, image) }

    fn cuModuleLoadDataEx(
        module: Out<Handle>,
        image: Host,
        _options: c_uint,
        _names: In<c_int>,
        _values: In<*mut c_void>,
    ) needs Context {
        load(module, image)
    }

    fn cuModuleLoadFatBinary(module: Out<Handle>, image: Host) needs Context { load(module, image) }

    fn cuModuleUnload(module: Handle) needs Context {
        match MODULES.remove(module) {
            Some(_) => Ok(()),
            None => {
                report::wrong("cuModuleUnload", "there is no such module");
                Err(Status::INVALID_HANDLE)
            }
        }
    }

    fn cuModuleGetFunction(function: Out<Handle>, module: Handle, name: Text) needs Context {
        let module = MODULES.get(module).ok_or(Status::INVALID_HANDLE)?;
        let name = name.get()?;
        let kernel = Kernel::named(&name).filter(|_| module.holds(&name)).ok_or(Status::NOT_FOUND)?;
        let (context, module) = (module.context, Arc::downgrade(&module));
        function.put(FUNCTIONS.insert(Arc::new(Function { name, kernel, context, module })))
    }

    fn cuFuncGetAttribute(value: Out<c_int>, which: c_int, of: Handle) needs Context {
        function("cuFuncGetAttribute", of)?;
        value.put(attribute(which).ok_or(Status::INVALID_VALUE)?)
    }
}
