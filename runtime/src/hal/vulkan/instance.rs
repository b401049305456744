//! The Vulkan instance: one per process, made at the first use and kept until the process ends.
//! Destroying it would unload the drivers, which some do not survive while other threads are at work.

use super::error::{VkResultExt, driver};
use crate::error::{Result, RuntimeError};
use ash::{ext, khr, vk};
use std::{
    ffi::{CStr, c_void},
    sync::{Arc, Mutex, MutexGuard},
};

const VALIDATION_LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";

pub(crate) struct Instance {
    pub(crate) raw: ash::Instance,
    pub(crate) entry: ash::Entry,
    /// At most 1.3, the newest version this code knows.
    pub(crate) api_version: u32,
    /// Version of the validation layer that is on.
    layer_version: Option<u32>,
    validation: Option<Validation>,
}

struct Validation {
    utils: ext::debug_utils::Instance,
    messenger: vk::DebugUtilsMessengerEXT,
    messages: Box<Mutex<Vec<String>>>,
}

static SHARED: Mutex<Option<Arc<Instance>>> = Mutex::new(None);

/// A panic elsewhere while the lock was held leaves the data valid: every holder only reads,
/// appends or replaces.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Instance {
    /// The process's instance. A failure is not remembered: a driver may be installed meanwhile.
    pub(crate) fn shared() -> Result<Arc<Instance>> {
        let mut slot = lock(&SHARED);
        if let Some(instance) = &*slot {
            return Ok(instance.clone());
        }
        let instance = Arc::new(Instance::create()?);
        *slot = Some(instance.clone());
        Ok(instance)
    }

    fn create() -> Result<Instance> {
        // SAFETY: loads the system's Vulkan loader, whose initialisers the platform vouches for.
        let entry = unsafe { ash::Entry::load() }.map_err(|e| RuntimeError::NoDevice {
            reason: format!("the Vulkan loader is missing ({e}); install a Vulkan driver"),
        })?;
        // SAFETY: plain queries on a loaded entry.
        let (version, layers, extensions) = unsafe {
            (
                entry.try_enumerate_instance_version().check("vkEnumerateInstanceVersion")?,
                entry
                    .enumerate_instance_layer_properties()
                    .check("vkEnumerateInstanceLayerProperties")?,
                entry
                    .enumerate_instance_extension_properties(None)
                    .check("vkEnumerateInstanceExtensionProperties")?,
            )
        };
        let api_version = version.unwrap_or(vk::API_VERSION_1_0).min(vk::API_VERSION_1_3);
        if api_version < vk::API_VERSION_1_1 {
            let reason = "the Vulkan loader knows version 1.0 only, 1.1 is needed".into();
            return Err(RuntimeError::NoDevice { reason });
        }
        let wanted = std::env::var("DRIFT_VALIDATION").is_ok_and(|v| v == "1");
        let layer = layers.iter().find(|l| l.layer_name_as_c_str() == Ok(VALIDATION_LAYER));
        let layer_version = layer.filter(|_| wanted).map(|l| l.spec_version);
        let validate = layer_version.is_some();

        let has = |name: &CStr| extensions.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
        let mut enabled = Vec::new();
        let mut flags = vk::InstanceCreateFlags::empty();
        if has(khr::portability_enumeration::NAME) {
            enabled.push(khr::portability_enumeration::NAME.as_ptr());
            flags |= vk::InstanceCreateFlags::ENUMERATE_PORTABILITY_KHR;
        }
        // The layer itself provides the extension where the loader does not list it.
        if validate {
            enabled.push(ext::debug_utils::NAME.as_ptr());
        }
        let layer_names = [VALIDATION_LAYER.as_ptr()];
        let application = vk::ApplicationInfo::default()
            .application_name(c"drift")
            .engine_name(c"drift")
            .api_version(api_version);
        let info = vk::InstanceCreateInfo::default()
            .flags(flags)
            .application_info(&application)
            .enabled_layer_names(if validate { &layer_names } else { &[] })
            .enabled_extension_names(&enabled);
        // SAFETY: names are NUL-terminated and were reported by the loader; all of it outlives the call.
        let raw = unsafe { entry.create_instance(&info, None) }.map_err(|code| match code {
            vk::Result::ERROR_INCOMPATIBLE_DRIVER => {
                RuntimeError::NoDevice { reason: "no Vulkan driver is installed".into() }
            }
            code => driver("vkCreateInstance", code),
        })?;
        let mut instance = Instance { raw, entry, api_version, layer_version, validation: None };
        if validate {
            instance.validation = Some(Validation::start(&instance)?);
        }
        Ok(instance)
    }

    /// A validation layer older than VK_KHR_cooperative_matrix takes its structures for errors:
    /// under such a layer devices do without.
    pub(crate) fn hides_cooperative_matrix(&self) -> bool {
        self.layer_version.is_some_and(|v| v < vk::make_api_version(0, 1, 3, 255))
    }

    pub(crate) fn validation_enabled(&self) -> bool {
        self.validation.is_some()
    }

    pub(crate) fn validation_messages(&self) -> Vec<String> {
        self.validation.as_ref().map_or(Vec::new(), |v| lock(&v.messages).clone())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: every device holds the instance, so none is left; the messenger goes first.
        unsafe {
            if let Some(v) = &self.validation {
                v.utils.destroy_debug_utils_messenger(v.messenger, None);
            }
            self.raw.destroy_instance(None);
        }
    }
}

impl Validation {
    fn start(instance: &Instance) -> Result<Validation> {
        use vk::{
            DebugUtilsMessageSeverityFlagsEXT as Severity, DebugUtilsMessageTypeFlagsEXT as Type,
        };
        let utils = ext::debug_utils::Instance::new(&instance.entry, &instance.raw);
        let messages = Box::new(Mutex::new(Vec::new()));
        let info = vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(Severity::WARNING | Severity::ERROR)
            .message_type(Type::GENERAL | Type::VALIDATION | Type::PERFORMANCE)
            .pfn_user_callback(Some(on_message))
            .user_data(&raw const *messages as *mut c_void);
        // SAFETY: the messages are boxed, so their address is stable, and they outlive the
        // messenger, which `Instance::drop` destroys before the box.
        let messenger = unsafe { utils.create_debug_utils_messenger(&info, None) }
            .check("vkCreateDebugUtilsMessengerEXT")?;
        Ok(Validation { utils, messenger, messages })
    }
}

/// Keeps what the layers say.
unsafe extern "system" fn on_message(
    severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    user: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the API passes valid data, whose message is NUL-terminated or null, and the pointer
    // to the boxed messages that `start` registered.
    let (text, messages) = unsafe {
        let message = (*data).p_message;
        let text = if message.is_null() { c"" } else { CStr::from_ptr(message) };
        (text.to_string_lossy().into_owned(), &*(user as *const Mutex<Vec<String>>))
    };
    // The loader reports drivers that it skips as warnings of kind GENERAL: not about this program.
    let about_us = kind != vk::DebugUtilsMessageTypeFlagsEXT::GENERAL
        || severity.contains(vk::DebugUtilsMessageSeverityFlagsEXT::ERROR);
    if about_us {
        lock(messages).push(text);
    }
    vk::FALSE
}
