//! A bundle read section by section says what the whole file says, and finds the same damage.

mod common;
use common::*;
use drift_bundle::*;

fn part<'a>(bytes: &'a [u8], info: &SectionInfo) -> &'a [u8] {
    &bytes[info.offset as usize..(info.offset + info.bytes) as usize]
}

#[test]
fn sections_say_what_the_file_says() {
    let bytes = rich_bundle();
    let whole = Bundle::parse(&bytes).unwrap();
    let table = Parts::table_bytes(&bytes[..Parts::HEAD_BYTES]).unwrap();
    let parts = Parts::parse(&bytes[..table]).unwrap();
    assert_eq!(parts.sections, whole.sections());
    parts.check_length(bytes.len() as u64).unwrap();
    let of = |section, variant| part(&bytes, parts.find(section, variant).unwrap());
    assert_eq!(parts.meta(of(Section::Meta, None)).unwrap(), *whole.meta());
    assert_eq!(parts.variants() as usize, whole.variants().len());
    for (number, variant) in (0..).zip(whole.variants()) {
        let of = |section| of(section, Some(number));
        let requirements = parts.requirements(number, of(Section::Requirements)).unwrap();
        assert_eq!(requirements, *variant.requirements);
        let shaders = of(Section::Shaders);
        let (plan, ranges) =
            parts.variant(number, &requirements, of(Section::Plan), shaders).unwrap();
        assert_eq!(plan, *variant.plan);
        let texts: Vec<&[u8]> = ranges.into_iter().map(|r| &shaders[r]).collect();
        assert_eq!(texts, variant.shaders().iter().collect::<Vec<_>>());
    }
    let section = of(Section::Assets, None);
    let assets = parts.assets(section).unwrap();
    let assets: Vec<_> = assets.iter().map(|(n, r)| (n.as_str(), &section[r.clone()])).collect();
    assert_eq!(assets, whole.assets().collect::<Vec<_>>());
    let info = parts.find(Section::Weights, None).unwrap();
    let mut hash = Hash::default();
    part(&bytes, info).chunks(7).for_each(|chunk| hash.update(chunk));
    info.check(hash.bytes(), hash.finish()).unwrap();
}

#[test]
fn damage_is_found_in_each_section() {
    let bytes = rich_bundle();
    let table = Parts::table_bytes(&bytes).unwrap();
    let parts = Parts::parse(&bytes).unwrap();
    let requirements =
        parts.requirements(0, part(&bytes, parts.find(Section::Requirements, Some(0)).unwrap()));
    let requirements = requirements.unwrap();
    for info in parts.sections.iter().filter(|s| s.bytes > 0 && s.variant.unwrap_or(0) == 0) {
        let mut other = bytes.clone();
        other[info.offset as usize + info.bytes as usize / 2] ^= 1;
        let of = |section| part(&other, parts.find(section, Some(0)).unwrap());
        let error = match info.section {
            Section::Meta => parts.meta(part(&other, info)).err(),
            Section::Requirements => parts.requirements(0, part(&other, info)).err(),
            Section::Plan | Section::Shaders => parts
                .variant(0, &requirements, of(Section::Plan), of(Section::Shaders))
                .map(|_| ())
                .err(),
            Section::Assets => parts.assets(part(&other, info)).err(),
            Section::Weights => {
                let mut hash = Hash::default();
                hash.update(part(&other, info));
                info.check(hash.bytes(), hash.finish()).err()
            }
            _ => continue,
        };
        assert_eq!(error.map(|e| e.kind), Some(ErrorKind::Damaged), "{}", info.section);
    }
    let mut other = bytes.clone();
    other[table - 1] ^= 1;
    assert_eq!(Parts::parse(&other).unwrap_err().kind, ErrorKind::Damaged);
    assert_eq!(Parts::parse(&bytes[..table - 1]).unwrap_err().kind, ErrorKind::Truncated);
    let short = parts.check_length(bytes.len() as u64 - 1).unwrap_err();
    assert_eq!(short.kind, ErrorKind::Truncated);
}
