//! Einsum of one or two operands: transposes, reductions, and one matmul.

use crate::Result;
use crate::def::{OpDef, composite, since};
use crate::import::ImportCtx;
use crate::ops::reduce;
use drift_ir::{Attrs, ValueId};

pub static OP: OpDef = composite("einsum", &[since("Einsum", 12)], import);

/// An axis label: a letter, or position `n` from the right of an ellipsis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Dots(usize),
    Letter(char),
}

/// A value with a label per axis, each label once.
#[derive(Clone, Debug)]
struct Labeled {
    value: ValueId,
    labels: Vec<Label>,
}

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let equation: String = c
        .attrs
        .str("equation")
        .ok_or_else(|| c.invalid("the equation is missing"))?
        .chars()
        .filter(|ch| !ch.is_whitespace())
        .collect();
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != c.inputs.len() || terms.is_empty() {
        return Err(c.invalid(format!("{equation:?} does not fit {} inputs", c.inputs.len())));
    }
    let mut operands = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let v = c.input(i)?;
        let labels = parse(c, term, Some(c.rank(v)))?;
        operands.push(diagonal(c, Labeled { value: v, labels })?);
    }
    let dots = operands
        .iter()
        .flat_map(|o| &o.labels)
        .filter_map(|l| if let Label::Dots(n) = l { Some(n + 1) } else { None })
        .max()
        .unwrap_or(0);
    let out = match right {
        Some(r) => {
            let rank = r.chars().filter(|ch| *ch != '.').count()
                + if r.contains("...") { dots } else { 0 };
            parse(c, r, Some(rank))?
        }
        // implicit: the ellipsis, then the letters that occur once, in order
        None => {
            let mut letters: Vec<char> = left.chars().filter(|ch| ch.is_alphabetic()).collect();
            letters.sort_unstable();
            let once: Vec<char> = letters
                .iter()
                .copied()
                .filter(|ch| letters.iter().filter(|o| *o == ch).count() == 1)
                .collect();
            (0..dots).rev().map(Label::Dots).chain(once.into_iter().map(Label::Letter)).collect()
        }
    };
    let known = |l: &Label| operands.iter().any(|o| o.labels.contains(l));
    if let Some(l) = out.iter().find(|l| !known(l)) {
        return Err(c.invalid(format!("{equation:?}: {l:?} of the result is in no operand")));
    }
    let mut rest = operands.into_iter();
    let mut acc = rest.next().ok_or_else(|| c.invalid("no operands"))?;
    let mut rest: Vec<Labeled> = rest.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        // labels that somebody still needs
        let needed: Vec<Label> =
            out.iter().copied().chain(rest.iter().flat_map(|o| o.labels.clone())).collect();
        acc = contract(c, acc, next, &needed)?;
    }
    acc = sum_out(c, acc, &out)?;
    let perm: Vec<usize> =
        out.iter().filter_map(|l| acc.labels.iter().position(|a| a == l)).collect();
    Ok(vec![c.transpose(acc.value, &perm)?])
}

/// Labels of a term; `rank` axes in all, the ellipsis takes those that no letter names.
fn parse(c: &ImportCtx, term: &str, rank: Option<usize>) -> Result<Vec<Label>> {
    let bad = || c.invalid(format!("cannot read the term {term:?}"));
    let letters = |s: &str| -> Result<Vec<Label>> {
        s.chars()
            .map(|ch| if ch.is_alphabetic() { Ok(Label::Letter(ch)) } else { Err(bad()) })
            .collect()
    };
    let labels = match term.split_once("...") {
        None => letters(term)?,
        Some((a, b)) => {
            let (a, b) = (letters(a)?, letters(b)?);
            let dots = rank.unwrap_or(0).checked_sub(a.len() + b.len()).ok_or_else(bad)?;
            a.into_iter().chain((0..dots).rev().map(Label::Dots)).chain(b).collect()
        }
    };
    if rank.is_some_and(|r| r != labels.len()) {
        return Err(c.invalid(format!(
            "the term {term:?} does not fit a value of rank {}",
            rank.unwrap_or(0)
        )));
    }
    Ok(labels)
}

/// A label used twice in one term takes the diagonal: flatten both axes, step by `n + 1`.
fn diagonal(c: &mut ImportCtx, mut v: Labeled) -> Result<Labeled> {
    while let Some((i, j)) = (0..v.labels.len())
        .flat_map(|i| (i + 1..v.labels.len()).map(move |j| (i, j)))
        .find(|(i, j)| v.labels[*i] == v.labels[*j])
    {
        let shape = c.shape(v.value);
        let n = shape[i];
        if shape[j] != n {
            return Err(c.invalid(format!("a diagonal of dims {n} and {}", shape[j])));
        }
        let mut perm: Vec<usize> = (0..shape.rank()).filter(|a| *a != i && *a != j).collect();
        let outer: Vec<usize> = perm.iter().map(|a| shape[*a]).collect();
        let labels: Vec<Label> = perm.iter().map(|a| v.labels[*a]).collect();
        let label = v.labels[i];
        perm.extend([i, j]);
        let y = c.transpose(v.value, &perm)?;
        let mut flat = outer.clone();
        flat.push(n * n);
        let y = c.reshape(y, flat)?;
        let (mut sizes, mut steps) = (outer, vec![1i64; labels.len()]);
        sizes.push(n);
        steps.push(n as i64 + 1);
        let y = c.slice(y, vec![0; sizes.len()], sizes, steps)?;
        v = Labeled { value: y, labels: labels.into_iter().chain([label]).collect() };
    }
    Ok(v)
}

/// Sums over the axes whose labels are not in `keep`.
fn sum_out(c: &mut ImportCtx, v: Labeled, keep: &[Label]) -> Result<Labeled> {
    let axes: Vec<usize> = (0..v.labels.len()).filter(|i| !keep.contains(&v.labels[*i])).collect();
    if axes.is_empty() {
        return Ok(v);
    }
    let labels = v.labels.iter().copied().filter(|l| keep.contains(l)).collect();
    Ok(Labeled { value: reduce::emit(c, "sum", v.value, axes, false)?, labels })
}

/// One matmul: batch labels are in both operands and needed, sum labels in both and not needed.
fn contract(c: &mut ImportCtx, a: Labeled, b: Labeled, needed: &[Label]) -> Result<Labeled> {
    let keep = |o: &Labeled| -> Vec<Label> {
        needed.iter().copied().chain(o.labels.iter().copied()).collect()
    };
    let (ka, kb) = (keep(&b), keep(&a));
    let a = sum_out(c, a, &ka)?;
    let b = sum_out(c, b, &kb)?;
    let both: Vec<Label> = a.labels.iter().copied().filter(|l| b.labels.contains(l)).collect();
    let (batch, sum): (Vec<Label>, Vec<Label>) = both.iter().partition(|l| needed.contains(l));
    let rows: Vec<Label> = a.labels.iter().copied().filter(|l| !both.contains(l)).collect();
    let cols: Vec<Label> = b.labels.iter().copied().filter(|l| !both.contains(l)).collect();
    let dims = |c: &ImportCtx, v: &Labeled, labels: &[Label]| -> Vec<usize> {
        let shape = c.shape(v.value);
        labels
            .iter()
            .filter_map(|l| v.labels.iter().position(|x| x == l))
            .map(|i| shape[i])
            .collect()
    };
    let arrange = |c: &mut ImportCtx, v: &Labeled, order: [&[Label]; 3]| -> Result<ValueId> {
        let perm: Vec<usize> =
            order.concat().iter().filter_map(|l| v.labels.iter().position(|x| x == l)).collect();
        let y = c.transpose(v.value, &perm)?;
        let mut shape = dims(c, v, order[0]);
        shape.push(dims(c, v, order[1]).iter().product());
        shape.push(dims(c, v, order[2]).iter().product());
        c.reshape(y, shape)
    };
    if dims(c, &a, &sum) != dims(c, &b, &sum) {
        return Err(c.invalid(format!(
            "summed dims differ: shapes {} and {}",
            c.shape(a.value),
            c.shape(b.value)
        )));
    }
    let left = arrange(c, &a, [&batch, &rows, &sum])?;
    let right = arrange(c, &b, [&batch, &sum, &cols])?;
    let y = c.emit("matmul", Attrs::new(), &[left, right])?;
    // batch dims of 1 may have been broadcast
    let mut shape = c.shape(y)[..batch.len()].to_vec();
    shape.extend(dims(c, &a, &rows));
    shape.extend(dims(c, &b, &cols));
    let value = c.reshape(y, shape)?;
    Ok(Labeled { value, labels: [batch, rows, cols].concat() })
}
