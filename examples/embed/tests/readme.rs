//! The README shows this example unchanged. It is short, and it runs.

const EXAMPLE: &str = include_str!("../src/main.rs");

#[test]
fn the_readme_shows_the_example_as_it_is() {
    assert!(include_str!("../../../README.md").contains(EXAMPLE));
    assert!(EXAMPLE.lines().count() <= 40);
}

#[test]
fn the_example_runs() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_embed")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 confirmed, 1 effect carried out\n");
    assert!(output.status.success());
}
