//! The OpenCL library of the system: found, loaded, and its functions looked up.
//!
//! Nothing is linked. `opencl-sys` declares the types, numbers and functions of the standard; the
//! functions here are all of OpenCL 1.2, so a library that lacks one is none that could be used.

use libloading::Library;
use opencl_sys::cl_function_types as declared;
use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;

/// Systems that have their libraries in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Windows,
    Apple,
    Android,
    /// Linux and others with a loader (ICD) of this name.
    Unix,
}

const SYSTEM: System = if cfg!(windows) {
    System::Windows
} else if cfg!(target_vendor = "apple") {
    System::Apple
} else if cfg!(target_os = "android") {
    System::Android
} else {
    System::Unix
};

/// Where the library may be, best first.
fn candidates(system: System) -> Vec<String> {
    let names: &[&str] = match system {
        System::Windows => &["OpenCL.dll"],
        System::Apple => &["/System/Library/Frameworks/OpenCL.framework/OpenCL"],
        System::Android => return android(cfg!(target_pointer_width = "64")),
        System::Unix => &["libOpenCL.so.1", "libOpenCL.so"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// On phones, the driver itself or a library in front of it: first by name, which is how an app gets
/// what its manifest names (`uses-native-library`) and the maker of the phone offers to apps; then
/// where drivers lie, for programs outside of apps and for phones before Android 12.
fn android(wide: bool) -> Vec<String> {
    // Qualcomm and most others; Google's Pixel; Arm's driver, which has OpenCL beside OpenGL; Imagination's
    const NAMES: [&str; 4] =
        ["libOpenCL.so", "libOpenCL-pixel.so", "libGLES_mali.so", "libPVROCL.so"];
    let lib = if wide { "lib64" } else { "lib" };
    let folders = ["/vendor", "/system/vendor"]
        .iter()
        .flat_map(|root| [format!("{root}/{lib}/"), format!("{root}/{lib}/egl/")]);
    let paths = folders.flat_map(|folder| NAMES.map(|name| format!("{folder}{name}")));
    NAMES.iter().map(|name| (*name).to_owned()).chain(paths).collect()
}

/// The type of a function behind the standard's pointer to it.
type Declared<F> = <F as Pointer>::Function;

/// A pointer to a function that may be null, as `opencl-sys` declares them.
pub(super) trait Pointer {
    type Function: Copy;
    /// # Safety
    /// `address` is null, or of a function of this type.
    unsafe fn of(address: *mut c_void) -> Option<Self::Function>;
}

impl<F: Copy> Pointer for Option<F> {
    type Function = F;
    unsafe fn of(address: *mut c_void) -> Option<F> {
        const { assert!(size_of::<Option<F>>() == size_of::<*mut c_void>()) };
        // SAFETY: the caller says so, and a pointer to a function is null where there is none.
        unsafe { std::mem::transmute_copy(&address) }
    }
}

macro_rules! functions {
    ($($name:ident: $declared:ident)*) => {
        /// The functions that replaying needs.
        #[allow(non_snake_case, reason = "the names of the standard")]
        pub(super) struct Functions {
            $(pub $name: Declared<declared::$declared>,)*
            /// Where they are.
            _library: Library,
        }

        impl Functions {
            /// Looks all of them up; the error names the first that is missing.
            ///
            /// # Safety
            /// The library is one of OpenCL.
            unsafe fn of(library: Library) -> Result<Functions, String> {
                // SAFETY: as the caller says.
                let symbols = unsafe { Symbols::of(&library) };
                Ok(Functions {
                    $($name: {
                        let name = concat!(stringify!($name), "\0");
                        // SAFETY: the standard declares the function of this name so.
                        let f = unsafe { declared::$declared::of(symbols.address(name)) };
                        f.ok_or(concat!("it has no ", stringify!($name)))?
                    },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    clBuildProgram: clBuildProgram_t
    clCreateBuffer: clCreateBuffer_t
    clCreateCommandQueue: clCreateCommandQueue_t
    clCreateContext: clCreateContext_t
    clCreateImage: clCreateImage_t
    clCreateKernel: clCreateKernel_t
    clCreateProgramWithBinary: clCreateProgramWithBinary_t
    clCreateProgramWithSource: clCreateProgramWithSource_t
    clEnqueueCopyBuffer: clEnqueueCopyBuffer_t
    clEnqueueFillBuffer: clEnqueueFillBuffer_t
    clEnqueueFillImage: clEnqueueFillImage_t
    clEnqueueMapBuffer: clEnqueueMapBuffer_t
    clEnqueueMarkerWithWaitList: clEnqueueMarkerWithWaitList_t
    clEnqueueNDRangeKernel: clEnqueueNDRangeKernel_t
    clEnqueueReadBuffer: clEnqueueReadBuffer_t
    clEnqueueWriteBuffer: clEnqueueWriteBuffer_t
    clEnqueueWriteImage: clEnqueueWriteImage_t
    clFinish: clFinish_t
    clFlush: clFlush_t
    clGetDeviceIDs: clGetDeviceIDs_t
    clGetDeviceInfo: clGetDeviceInfo_t
    clGetEventInfo: clGetEventInfo_t
    clGetEventProfilingInfo: clGetEventProfilingInfo_t
    clGetExtensionFunctionAddressForPlatform: clGetExtensionFunctionAddressForPlatform_t
    clGetKernelWorkGroupInfo: clGetKernelWorkGroupInfo_t
    clGetPlatformIDs: clGetPlatformIDs_t
    clGetPlatformInfo: clGetPlatformInfo_t
    clGetProgramBuildInfo: clGetProgramBuildInfo_t
    clGetProgramInfo: clGetProgramInfo_t
    clReleaseCommandQueue: clReleaseCommandQueue_t
    clReleaseContext: clReleaseContext_t
    clReleaseEvent: clReleaseEvent_t
    clReleaseKernel: clReleaseKernel_t
    clReleaseMemObject: clReleaseMemObject_t
    clReleaseProgram: clReleaseProgram_t
    clSetKernelArg: clSetKernelArg_t
}

/// How a library gives its functions.
struct Symbols<'a> {
    library: &'a Library,
    /// Google's Pixel phones: functions are asked for by name, after OpenCL was switched on.
    pointer: Option<unsafe extern "C" fn(*const c_char) -> *mut c_void>,
}

impl Symbols<'_> {
    /// # Safety
    /// The library is one of OpenCL.
    unsafe fn of(library: &Library) -> Symbols<'_> {
        type Enable = unsafe extern "C" fn();
        type Load = unsafe extern "C" fn(*const c_char) -> *mut c_void;
        // SAFETY: a library that has these names has the functions of Pixel phones.
        unsafe {
            let pointer = library.get::<Load>(b"loadOpenCLPointer\0").ok().map(|f| *f);
            if pointer.is_some()
                && let Ok(enable) = library.get::<Enable>(b"enableOpenCL\0")
            {
                enable();
            }
            Symbols { library, pointer }
        }
    }

    /// Null where there is none. `name` ends in a zero.
    fn address(&self, name: &str) -> *mut c_void {
        if let (Some(pointer), Ok(name)) =
            (self.pointer, CStr::from_bytes_with_nul(name.as_bytes()))
        {
            // SAFETY: it takes the name of a function.
            let address = unsafe { pointer(name.as_ptr()) };
            if !address.is_null() {
                return address;
            }
        }
        // SAFETY: only its address is taken here.
        let symbol = unsafe { self.library.get::<*mut c_void>(name.as_bytes()) };
        symbol.map_or(std::ptr::null_mut(), |address| *address)
    }
}

/// Loads the first library that is there and has all functions; what became of each is the error.
fn load(names: impl IntoIterator<Item = String>) -> Result<Functions, String> {
    let mut tried = Vec::new();
    for name in names {
        // SAFETY: loading runs the library's initializers, which is the purpose.
        let library = unsafe { Library::new(&name) }.map_err(|e| e.to_string());
        // SAFETY: libraries of these names are OpenCL's.
        match library.and_then(|library| unsafe { Functions::of(library) }) {
            Ok(functions) => return Ok(functions),
            Err(why) => tried.push(format!("{name}: {why}")),
        }
    }
    Err(tried.join("; "))
}

/// The library, loaded at the first call; what `OPENCL_DYLIB_PATH` names (several with `;` between)
/// goes first.
pub(super) fn loaded() -> &'static Result<Functions, String> {
    static LIBRARY: OnceLock<Result<Functions, String>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let chosen = std::env::var("OPENCL_DYLIB_PATH").unwrap_or_default();
        let chosen = chosen.split(';').filter(|name| !name.is_empty()).map(str::to_owned);
        load(chosen.chain(candidates(SYSTEM)))
    })
}

/// The way out where there is none.
pub(super) const HELP: &str = match SYSTEM {
    System::Android => {
        "an app must name the library in its manifest: <uses-native-library \
         android:name=\"libOpenCL.so\" android:required=\"false\" />"
    }
    _ => "OPENCL_DYLIB_PATH may name one",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_have_it_under_several_names() {
        for (wide, folder) in [(true, "lib64"), (false, "lib")] {
            let all = android(wide);
            assert_eq!(all[..2], ["libOpenCL.so", "libOpenCL-pixel.so"]);
            for path in ["libOpenCL.so", "egl/libGLES_mali.so", "libPVROCL.so"] {
                assert!(all.contains(&format!("/vendor/{folder}/{path}")), "{path}: {all:?}");
            }
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            assert_eq!(distinct.len(), all.len());
        }
    }

    #[test]
    fn what_became_of_each_library_is_said() {
        // the C library is there, and is none of OpenCL
        let other = if cfg!(target_os = "linux") { "libc.so.6" } else { "none-either" };
        let names = ["none-of-this-name", other].map(str::to_owned);
        let Err(why) = load(names) else { panic!("loaded") };
        assert!(why.contains("none-of-this-name: "), "{why}");
        assert!(!cfg!(target_os = "linux") || why.contains("it has no clBuildProgram"), "{why}");
    }
}
