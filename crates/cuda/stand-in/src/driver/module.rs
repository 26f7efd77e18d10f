//! Modules. One image is known: that of the project's kernels, which run as their host builds. Of any other it is
//! believed that it is one, and that it has no functions.

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
    /// What is in it, if that is known.
    image: Option<Vec<u8>>,
}

/// A kernel of a loaded image.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
    pub(crate) context: &'static Context,
    /// It goes with its module.
    module: Weak<Module>,
}

static MODULES: Table<Module> = Table::new();
static FUNCTIONS: Table<Function> = Table::new();

/// Modules that were not unloaded.
pub(crate) fn live() -> usize {
    MODULES.len()
}

/// The kernel of a handle.
pub(crate) fn function(name: &str, handle: Handle) -> Answer<Arc<Function>> {
    let function = FUNCTIONS.get(handle).filter(|function| function.module.strong_count() > 0);
    function.ok_or_else(|| {
        report::wrong(name, "there is no such function, or its module was unloaded");
        Status::INVALID_HANDLE
    })
}

/// The head of an image for several GPUs, as nvcc writes it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Head {
    magic: u32,
    version: u16,
    size: u16,
    rest: u64,
}

const MAGIC: u32 = 0xBA55_ED50;

/// An image of several GPUs' code; none of another kind (PTX, code for one GPU).
fn image(at: Host) -> Answer<Option<Vec<u8>>> {
    let bytes: *const u8 = at.offset(0).cast_const();
    // Byte by byte, as PTX may be shorter than a head.
    for (i, expected) in MAGIC.to_le_bytes().into_iter().enumerate() {
        // SAFETY: the image has a byte here, as those before were there and were none that ends a text.
        if unsafe { bytes.add(i).read() } != expected {
            return Ok(None);
        }
    }
    // SAFETY: what begins so is a head and what it says is behind it.
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
    // Our image has code from there on.
    if image.is_some() && SETTINGS.capability < (8, 0) {
        return Err(Status::NO_BINARY_FOR_GPU);
    }
    module.put(MODULES.insert(Arc::new(Module { context: context::current()?, image })))
}

impl Module {
    /// Whether the image has a kernel of this name: code for it has a section that is called so.
    fn holds(&self, name: &str) -> bool {
        let section = format!(".text.{name}\0");
        self.image
            .as_ref()
            .is_some_and(|image| image.windows(section.len()).any(|at| at == section.as_bytes()))
    }
}

/// `CUfunction_attribute`.
fn attribute(which: c_int) -> Option<c_int> {
    match which {
        // Threads of a block.
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

    fn cuModuleLoadDataEx(module: Out<Handle>, image: Host, _options: c_uint, _names: In<c_int>, _values: In<*mut c_void>) needs Context {
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
