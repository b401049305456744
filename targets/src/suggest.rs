/// The candidates nearest to what was typed, best first, at most three; those too far off are left
/// out. A candidate that contains the typed word counts as near.
pub(crate) fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // Long input is no typing mistake, and the distance takes quadratic time.
    let typed: String = typed.chars().take(64).collect::<String>().to_lowercase();
    let mut near: Vec<(usize, &str)> = candidates
        .filter_map(|candidate| {
            let contained = typed.len() >= 3 && candidate.contains(&typed);
            let distance = if contained { 1 } else { distance(&typed, candidate) };
            (distance <= (typed.chars().count() / 3).max(1)).then_some((distance, candidate))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// "did you mean `a` or `b`?", or an empty string.
pub(crate) fn did_you_mean<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let near: Vec<String> =
        nearest(typed, candidates).into_iter().map(|c| format!("`{c}`")).collect();
    if near.is_empty() { String::new() } else { format!("did you mean {}?", near.join(" or ")) }
}

/// Insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["apple-m1", "apple-m2", "nvidia-h200", "adreno-740"];
        assert_eq!(nearest("aple-m1", known.into_iter()), ["apple-m1", "apple-m2"]);
        assert_eq!(nearest("H200", known.into_iter()), ["nvidia-h200"]);
        assert!(nearest("toaster", known.into_iter()).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
