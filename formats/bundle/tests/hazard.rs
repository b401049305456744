//! Barriers exactly where they belong.

use drift_bundle::{Hazard, hazard_report, hazards, plan::*};

/// One arena of four 256-byte parts; steps read one part and write another.
fn plan(steps: &[Option<(u64, u64)>]) -> Plan {
    let bind = |part: u64| Bind::Buffer { object: 0, offset: part * 256, bytes: 256 };
    let step = |s: &Option<(u64, u64)>| match s {
        None => Step::Barrier,
        Some((read, write)) => Step::Dispatch {
            pipeline: 0,
            workgroups: [1; 3],
            binds: vec![bind(*read), bind(*write)],
            label: 0,
        },
    };
    Plan {
        pipelines: vec![Pipeline {
            shader: 0,
            shader_entry: "main".into(),
            workgroup_size: [1; 3],
            bindings: vec![BindingKind::StorageRead, BindingKind::StorageReadWrite],
            subgroup_size: 0,
        }],
        entry_points: vec![EntryPoint {
            name: "main".into(),
            inputs: vec![],
            outputs: vec![],
            steps: steps.iter().map(step).collect(),
        }],
        ..Plan::default()
    }
}

fn missing(earlier: usize, step: usize) -> Hazard {
    Hazard::Missing { entry: 0, earlier, step, object: 0 }
}
fn needless(step: usize) -> Hazard {
    Hazard::Needless { entry: 0, step }
}

#[test]
fn each_kind_of_hazard_is_found() {
    // Read after write, write after read, write after write.
    assert_eq!(hazards(&plan(&[Some((0, 1)), Some((1, 2))])), [missing(0, 1)]);
    assert_eq!(hazards(&plan(&[Some((0, 1)), Some((2, 0))])), [missing(0, 1)]);
    assert_eq!(hazards(&plan(&[Some((0, 1)), Some((2, 1))])), [missing(0, 1)]);
    // Read after read, and in place within one step, are none.
    assert_eq!(hazards(&plan(&[Some((0, 1)), Some((0, 2))])), []);
    assert_eq!(hazards(&plan(&[Some((0, 0))])), []);
}

#[test]
fn barriers_are_enough_and_not_too_many() {
    assert_eq!(hazards(&plan(&[Some((0, 1)), None, Some((1, 2))])), []);
    assert_eq!(hazards(&plan(&[Some((0, 1)), None, Some((0, 2))])), [needless(1)]);
    assert_eq!(hazards(&plan(&[None, Some((0, 2))])), [needless(0)]);
    assert_eq!(hazards(&plan(&[Some((0, 1)), None])), [needless(1)]);
    assert_eq!(hazards(&plan(&[Some((0, 1)), None, None, Some((1, 2))])), [needless(1)]);
    // The first barrier separates nothing, so the second must serve steps 0 and 2 both.
    assert_eq!(
        hazards(&plan(&[Some((0, 1)), None, Some((0, 2)), None, Some((1, 3))])),
        [needless(1)]
    );
    let text = hazard_report(&plan(&[Some((0, 1)), Some((1, 2))])).unwrap();
    assert_eq!(
        text,
        "plan.entry_points[0]: no barrier between steps 0 and 1, which share object 0\n"
    );
}
