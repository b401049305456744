//! What a plan itself asks of a device: sizes and counts that follow from its lists.

use crate::{
    caps::{Api, Dialect, Features, ImageKind, Limits, Requirements},
    fit::limits_unmet,
    plan::{Bind, BindingKind, ObjectKind, Plan, Step},
};
use alloc::{format, string::String, vec::Vec};

impl Requirements {
    /// Nothing required yet; kernels and plan add to it. Offsets at multiples of 256 bytes satisfy
    /// every device in practice (Vulkan and WebGPU guarantee it).
    pub fn new(api: Api, dialect: Dialect, target: &str) -> Requirements {
        Requirements {
            api,
            dialect,
            target: target.into(),
            rank: 0,
            features: Features::default(),
            limits: Limits::default(),
            storage_offset_alignment: 256,
            subgroup_sizes: Vec::new(),
            matrix_shapes: Vec::new(),
        }
    }

    /// Raises features and limits to what `plan` uses: object sizes, binding ranges and counts,
    /// workgroup and dispatch sizes, image kinds, pinned subgroup sizes. What only a shader knows
    /// (f16, workgroup memory, ...) is the caller's to add.
    pub fn cover_plan(&mut self, plan: &Plan) {
        let l = &mut self.limits;
        let raise = |limit: &mut u64, value: u64| *limit = (*limit).max(value);
        for object in &plan.objects {
            match object.kind {
                ObjectKind::Buffer { bytes } => raise(&mut l.buffer_bytes, bytes),
                ObjectKind::Image { kind, extent, .. } => {
                    let [w, h, d] = extent.map(u64::from);
                    let feature = match kind {
                        ImageKind::TexelBuffer => {
                            raise(&mut l.texel_buffer, w);
                            Features::TEXEL_BUFFER
                        }
                        ImageKind::Texture2d => {
                            raise(&mut l.texture_2d, w.max(h));
                            Features::TEXTURE_2D
                        }
                        ImageKind::Texture2dArray => {
                            raise(&mut l.texture_2d, w.max(h));
                            raise(&mut l.texture_layers, d);
                            Features::TEXTURE_2D_ARRAY
                        }
                        ImageKind::Texture3d => {
                            raise(&mut l.texture_3d, w.max(h).max(d));
                            Features::TEXTURE_3D
                        }
                    };
                    self.features = self.features.union(feature);
                }
            }
        }
        for pipeline in &plan.pipelines {
            let size = pipeline.workgroup_size.map(u64::from);
            // Saturates: the reader refuses such sizes before they matter.
            let invocations = size.iter().fold(1u64, |n, s| n.saturating_mul(*s));
            raise(&mut l.workgroup_invocations, invocations);
            for (limit, s) in l.workgroup_size.iter_mut().zip(size) {
                raise(limit, s);
            }
            let buffers = pipeline
                .bindings
                .iter()
                .filter(|b| matches!(b, BindingKind::StorageRead | BindingKind::StorageReadWrite))
                .count() as u64;
            raise(&mut l.storage_buffers, buffers);
            raise(&mut l.images, pipeline.bindings.len() as u64 - buffers);
            let pinned = pipeline.subgroup_size;
            if pinned != 0
                && let Err(at) = self.subgroup_sizes.binary_search(&pinned)
            {
                self.subgroup_sizes.insert(at, pinned);
            }
        }
        for step in plan.entry_points.iter().flat_map(|e| &e.steps) {
            if let Step::Dispatch { workgroups, binds, .. } = step {
                for (limit, n) in l.dispatch_workgroups.iter_mut().zip(workgroups) {
                    raise(limit, u64::from(*n));
                }
                for bind in binds {
                    if let Bind::Buffer { bytes, .. } = bind {
                        raise(&mut l.storage_range_bytes, *bytes);
                    }
                }
            }
        }
    }

    /// `None` when these requirements admit to everything `plan` uses, else field and figures.
    pub(crate) fn uncovered(&self, plan: &Plan) -> Option<(String, String)> {
        let mut needed = Requirements::new(self.api, self.dialect, "");
        needed.cover_plan(plan);
        let mut first = None;
        limits_unmet(&needed.limits, &self.limits, &mut |field, need, have| {
            first.get_or_insert((field.into(), format!("{have} stated, the plan uses {need}")));
        });
        let missing = needed.features.difference(self.features);
        if let Some(name) = missing.names().next() {
            first.get_or_insert((
                "features".into(),
                format!("the plan uses {name}, which is not stated"),
            ));
        }
        for size in &needed.subgroup_sizes {
            if !self.subgroup_sizes.contains(size) {
                let message = format!("the plan pins subgroup size {size}, which is not stated");
                first.get_or_insert(("subgroup_sizes".into(), message));
            }
        }
        first
    }
}
