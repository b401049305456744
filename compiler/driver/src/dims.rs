//! Binding of symbolic dims: every shape of the graph is a number after import.

use crate::error::{Result, StageError};
use drift_onnx::{Dim, ValueInfo};
use std::collections::BTreeMap;

const STAGE: &str = "import";

/// What the user said about sizes.
#[derive(Clone, Debug, Default)]
pub struct DimBindings {
    /// `--dim NAME=N`.
    pub dims: BTreeMap<String, usize>,
    /// `--input-shape NAME=1x3x224x224`, or the shape of an array that will be fed.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

/// Shapes of the inputs, and what had to be assumed for them (to be shown).
#[derive(Clone, Debug, Default)]
pub struct BoundShapes {
    pub shapes: Vec<Vec<usize>>,
    pub notes: Vec<String>,
}

impl DimBindings {
    /// Gives every input a shape. A symbolic *leading* dim (the batch, by every exporter's habit) is
    /// 1 unless said otherwise, which is noted; any other open dim is an error.
    pub fn bind(&self, inputs: &[&ValueInfo]) -> Result<BoundShapes> {
        self.check_names(inputs)?;
        // a symbol that is the leading dim of some input is the batch wherever it stands
        let batch: Vec<&str> = inputs
            .iter()
            .filter_map(|i| match i.dims.as_ref()?.first()? {
                Dim::Symbol(s) => Some(s.as_str()),
                _ => None,
            })
            .collect();
        let mut out = BoundShapes::default();
        for input in inputs {
            out.shapes.push(self.bind_one(input, &batch, &mut out.notes)?);
        }
        Ok(out)
    }

    fn check_names(&self, inputs: &[&ValueInfo]) -> Result<()> {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        if let Some(name) = self.shapes.keys().find(|n| !names.contains(&n.as_str())) {
            return Err(StageError::invalid(STAGE, format!("the model has no input `{name}`"))
                .help(format!("its inputs are: {}", names.join(", "))));
        }
        let symbols: Vec<&str> = inputs
            .iter()
            .flat_map(|i| i.dims.iter().flatten())
            .filter_map(|d| if let Dim::Symbol(s) = d { Some(s.as_str()) } else { None })
            .collect();
        match self.dims.keys().find(|n| !symbols.contains(&n.as_str())) {
            None => Ok(()),
            Some(name) => {
                let mut known: Vec<&str> = symbols;
                known.sort_unstable();
                known.dedup();
                let help = match known.is_empty() {
                    true => "the inputs have no symbolic dims; `--input-shape` changes a fixed one"
                        .to_owned(),
                    false => format!("symbolic dims of the inputs: {}", known.join(", ")),
                };
                Err(StageError::invalid(STAGE, format!("no input has a dim called `{name}`"))
                    .help(help))
            }
        }
    }

    fn bind_one(
        &self,
        input: &ValueInfo,
        batch: &[&str],
        notes: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        let name = &input.name;
        let declared = input.dims.as_ref();
        if let Some(shape) = self.shapes.get(name) {
            if let Some(dims) = declared {
                let fits = dims.len() == shape.len()
                    && dims.iter().zip(shape).all(|(d, s)| match d {
                        Dim::Known(k) => *k == *s as u64,
                        _ => true,
                    });
                if !fits {
                    return Err(StageError::invalid(
                        STAGE,
                        format!("input `{name}` is declared as {}, not {shape:?}", text(dims)),
                    ));
                }
            }
            return Ok(shape.clone());
        }
        let Some(dims) = declared else {
            return Err(StageError::invalid(STAGE, format!("input `{name}` declares no shape"))
                .help(format!("say it: --input-shape {name}=1x3x224x224")));
        };
        dims.iter()
            .enumerate()
            .map(|(axis, dim)| match dim {
                Dim::Known(n) => usize::try_from(*n).map_err(|_| {
                    StageError::invalid(STAGE, format!("input `{name}`: dim {n} is too large"))
                }),
                Dim::Symbol(s) if self.dims.contains_key(s) => Ok(self.dims[s]),
                _ if axis == 0 => {
                    let what = match dim {
                        Dim::Symbol(s) => format!("`{s}`"),
                        _ => "unnamed".to_owned(),
                    };
                    notes.push(format!("input `{name}`: leading dim ({what}) taken as 1"));
                    Ok(1)
                }
                Dim::Symbol(s) if batch.contains(&s.as_str()) => {
                    notes.push(format!("input `{name}`: dim {axis} (`{s}`) taken as 1"));
                    Ok(1)
                }
                Dim::Symbol(s) => Err(StageError::invalid(
                    STAGE,
                    format!("input `{name}` has shape {}: how large is `{s}`?", text(dims)),
                )
                .help(format!("give it a size: --dim {s}=N (bundles have static shapes)"))),
                Dim::Unknown => Err(StageError::invalid(
                    STAGE,
                    format!("input `{name}` has shape {}: dim {axis} is open", text(dims)),
                )
                .help(format!("give the whole shape: --input-shape {name}=AxBxC"))),
            })
            .collect()
    }
}

fn text(dims: &[Dim]) -> String {
    let parts: Vec<String> = dims
        .iter()
        .map(|d| match d {
            Dim::Known(n) => n.to_string(),
            Dim::Symbol(s) => s.clone(),
            Dim::Unknown => "?".to_owned(),
        })
        .collect();
    format!("[{}]", parts.join(", "))
}
