//! The compile report: what every stage did, as one HTML file or as JSON.
//!
//! [`Report`] is plain data that the pipeline fills; this module knows nothing of graphs, kernels or
//! bundles. [`Report::to_html`] gives a single self-contained file: no network, no fonts, no
//! libraries, readable in a dark or light room and with the keyboard alone. [`Report::to_json`] gives
//! the same data to programs.
//!
//! Names come from models, and models come from anywhere, so:
//!
//! - **Invariant:** no text of a report reaches the page as markup. Data travels in one JSON block
//!   in which `<`, `>` and `&` are escaped, and the script only ever sets `textContent`.
//! - **Invariant:** the page's content security policy forbids every request.
//! - **Invariant:** the file's size is bounded by the number of nodes and dispatches, never by the
//!   length of a name; long texts and very long lists are cut, and the page says so.

mod html;
mod json;
mod layout;
#[cfg(test)]
mod tests;
mod view;

pub use layout::{GraphLayout, layout_graph};
pub use view::{
    DispatchView, GraphView, MemoryView, ModelView, NodeView, PortView, RecordView, Report,
    ShaderView, StageStat, TensorView, VariantView, WeightView,
};
