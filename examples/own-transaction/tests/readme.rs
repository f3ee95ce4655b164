//! The README shows the two confirmations unchanged.

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let source = include_str!("../src/confirm.rs");
    let (_, shown) = source.split_once("/// On PostgreSQL").unwrap();
    assert!(include_str!("../../../README.md").contains(shown));
}
