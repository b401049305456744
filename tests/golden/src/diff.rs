//! Where two texts differ, for people.

/// Lines shown before and after the first difference.
const CONTEXT: usize = 3;

/// The first lines that differ, `-` the old and `+` the new, with their surroundings; `None` when
/// the texts are equal.
pub fn first_difference(old: &str, new: &str) -> Option<String> {
    if old == new {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let same_at_end =
        old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let changed = |lines: &[&str]| lines.len() - same_at_end - same;
    let mut out = format!("line {}: {} lines become {}\n", same + 1, changed(&old), changed(&new));
    let mut show = |mark: char, lines: &[&str]| {
        for line in lines {
            out.push_str(&format!("{mark} {line}\n"));
        }
    };
    show(' ', &old[same.saturating_sub(CONTEXT)..same]);
    let limit = |lines: &[&str]| same + changed(lines).min(4 * CONTEXT);
    show('-', &old[same..limit(&old)]);
    show('+', &new[same..limit(&new)]);
    let tail = &old[old.len() - same_at_end..];
    show(' ', &tail[..tail.len().min(CONTEXT)]);
    Some(out)
}
