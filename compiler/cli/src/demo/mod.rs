//! `driftc demo`: the main job on the embedded models.

mod shapes;
mod tales;

use crate::args::{Backend, DemoArgs, Place};
use crate::error::Result;
use drift_runtime::Device;
use serde_json::json;

/// What the parts of the demo share.
struct Demo {
    place: Place,
    json: bool,
}

impl Demo {
    fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// Where to run: the best GPU found; without any driver the interpreter, said plainly.
fn place(args: &DemoArgs) -> (Place, Option<String>) {
    let mut place = args.place.clone();
    let mut note = None;
    if place.backend == Backend::Auto {
        match Device::list() {
            Ok(list) if !list.is_empty() => {}
            found => {
                place.backend = Backend::Reference;
                let why = found.err().map_or("no device".to_owned(), |e| e.to_string());
                note = Some(format!(
                    "no GPU driver found ({why}); running on the reference interpreter (CPU)"
                ));
            }
        }
    }
    (place, note)
}

pub fn run(args: &DemoArgs) -> Result {
    let (place, note) = place(args);
    let demo = Demo { place, json: args.json };
    if let Some(note) = &note {
        demo.say(note);
    }
    let shapes = shapes::run(&demo)?;
    demo.say("");
    let tales = tales::run(&demo)?;
    if args.json {
        println!("{:#}", json!({ "note": note, "shapes": shapes, "tales": tales }));
    }
    Ok(())
}
