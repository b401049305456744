use crate::args::DemoArgs;
use crate::error::Result;
pub fn run(_: &DemoArgs) -> Result {
    Ok(())
}
