//! Post-processors: special tokens around what was encoded.

use crate::error::Result;
use crate::json::At;

/// Ids put in front of and behind a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    pub before: Vec<u32>,
    pub after: Vec<u32>,
}

const KNOWN: &str = "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel, Sequence";

impl Around {
    pub fn read(at: &At<'_>) -> Result<Around> {
        match at.kind()? {
            // offsets of tokens only
            "ByteLevel" => Ok(Around::default()),
            "Sequence" => {
                let mut out = Around::default();
                for p in at.get("processors")?.list()? {
                    let inner = Around::read(&p)?;
                    out.before.splice(0..0, inner.before);
                    out.after.extend(inner.after);
                }
                Ok(out)
            }
            "TemplateProcessing" => template(at),
            "RobertaProcessing" | "BertProcessing" => {
                let id = |key: &str| -> Result<u32> {
                    let pair = at.get(key)?;
                    let id = pair.value.get(1).and_then(|v| v.as_u64());
                    id.and_then(|id| u32::try_from(id).ok())
                        .ok_or_else(|| pair.invalid("expected [token, id]"))
                };
                Ok(Around { before: vec![id("cls")?], after: vec![id("sep")?] })
            }
            other => Err(at.unsupported(&format!("post-processor {other}"), KNOWN)),
        }
    }
}

fn template(at: &At<'_>) -> Result<Around> {
    let mut out = Around::default();
    let mut seen = 0;
    for part in at.get("single")?.list()? {
        if let Some(special) = part.maybe("SpecialToken") {
            let name = special.text("id")?;
            let ids = at.get("special_tokens")?.get(name)?.get("ids")?;
            for id in ids.list()? {
                let n = id.value.as_u64().and_then(|n| u32::try_from(n).ok());
                let n = n.ok_or_else(|| id.invalid("expected a token id"))?;
                if seen == 0 { &mut out.before } else { &mut out.after }.push(n);
            }
        } else if part.maybe("Sequence").is_some() {
            seen += 1;
        } else {
            return Err(part.invalid("expected SpecialToken or Sequence"));
        }
    }
    if seen != 1 {
        return Err(at.invalid("the template for single texts must hold the text once"));
    }
    Ok(out)
}
