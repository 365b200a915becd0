//! The page of `tickgate-backtest --page`, in a browser without network.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;
use std::process::Command;

/// What a page says of itself once it is laid out: of each figure its size, and how many marks it has.
const LOOK: &str = r"<script>
addEventListener('load', () => {
  const figures = [...document.querySelectorAll('figure')].map(figure => {
    const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
    const drawn = [...svg.querySelectorAll('polyline')].filter(mark => mark.getBoundingClientRect().width > 200);
    return `${figure.id}:${Math.round(box.width)}:${Math.round(box.height)}:${drawn.length}`;
  });
  document.documentElement.setAttribute('data-look', figures.join(' '));
});
</script>";

/// Loads a page in headless Chromium, with no host to be found, and gives what became of it.
fn browse(page: &Path, folder: &Path) -> String {
    let profile = folder.join("profile");
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless", "--no-sandbox"])
        .args(["--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-sync"])
        .args(["--disable-component-update", "--window-size=1200,2400"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn has_chromium() -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v chromium"])
        .output();
    let has = found.is_ok_and(|output| output.status.success());
    if !has {
        assert!(
            std::env::var_os("CI").is_none(),
            "the gate skips nothing: chromium is not installed"
        );
        eprintln!("SKIPPED: chromium is not installed");
    }
    has
}

#[test]
fn page_draws_profit_trading_and_each_symbol_in_a_browser_without_network() {
    if !has_chromium() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("page.html");
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_tickgate-backtest"))
            .args(["--seed", "1", "--messages", "20000", "--page"])
            .arg(&file)
            .output()
            .expect("it runs");
        assert!(output.status.success());
        std::fs::read_to_string(&file).expect("written")
    };
    let page = run();
    assert_eq!(page, run(), "the same outcome has the same page");
    assert!(
        !page.contains("src=") && !page.contains("@import") && !page.contains("<script"),
        "it fetches or runs something"
    );
    let looking = page.replace("</body>", &format!("{LOOK}</body>"));
    std::fs::write(&file, looking).expect("written");
    let dom = browse(&file, folder.path());
    let look = dom.split("data-look=\"").nth(1);
    let look = look.and_then(|rest| rest.split('"').next());
    let look = look.unwrap_or_else(|| panic!("the page did not load:\n{dom:.2000}"));
    println!("{look}");
    let of_symbols = [
        "AAAA", "AAAB", "AAAC", "AAAD", "AAAE", "AAAF", "AAAG", "AAAH",
    ];
    let of_symbols = of_symbols.map(|name| [format!("position-{name}"), format!("profit-{name}")]);
    let ids = ["profit", "trading"].map(str::to_owned);
    for id in ids.into_iter().chain(of_symbols.into_iter().flatten()) {
        let found = look.split(' ').find(|it| it.split(':').next() == Some(&id));
        let found = found.unwrap_or_else(|| panic!("no figure {id}: {look}"));
        let numbers = found.split(':').skip(1);
        let numbers = numbers.map(|it| it.parse::<u32>().expect("a number"));
        let [width, height, lines] = numbers.collect::<Vec<_>>()[..] else {
            panic!("{found}");
        };
        assert!(width > 600 && height > 150 && lines >= 1, "{found}");
    }
}
