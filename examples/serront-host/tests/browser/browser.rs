//! A visitor's browser, with short methods. An expectation that is not met within a generous time fails the test with the page.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::{By, Cookie, Key, TypingData, WebDriver, WebElement};

use super::axe::{self, Violation};
use super::chrome::Chrome;
use super::support;

/// How long the test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The interval of checks while waiting.
const GLANCE: Duration = Duration::from_millis(40);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Language {
    Indonesian,
    English,
}

impl Language {
    /// The browser's language setting.
    pub(crate) fn accepted(self) -> &'static str {
        match self {
            Self::Indonesian => "id-ID,id",
            Self::English => "en-US,en",
        }
    }

    /// The locale of the visitor's device.
    pub(crate) fn locale(self) -> &'static str {
        match self {
            Self::Indonesian => "id_ID.UTF-8",
            Self::English => "en_US.UTF-8",
        }
    }

    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Indonesian => "id",
            Self::English => "en",
        }
    }

    /// The text in this visitor's language.
    pub(crate) fn of<T>(self, indonesian: T, english: T) -> T {
        match self {
            Self::Indonesian => indonesian,
            Self::English => english,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Screen {
    /// The narrowest phone on sale, or a phone with large letters.
    Narrow,
    Phone,
    Desk,
}

impl Screen {
    pub(crate) fn width(self) -> u32 {
        match self {
            Self::Narrow => 320,
            Self::Phone => 360,
            Self::Desk => 1280,
        }
    }

    fn height(self) -> u32 {
        match self {
            Self::Narrow => 568,
            Self::Phone => 740,
            Self::Desk => 900,
        }
    }

    /// Device pixels per pixel of the style sheet.
    fn density(self) -> u32 {
        match self {
            Self::Narrow | Self::Phone => 2,
            Self::Desk => 1,
        }
    }
}

/// The visitor and their device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) language: Language,
    pub(crate) screen: Screen,
    pub(crate) scripts: bool,
}

impl Visitor {
    pub(crate) fn phone(language: Language) -> Self {
        Self { language, screen: Screen::Phone, scripts: true }
    }

    pub(crate) fn desk(language: Language) -> Self {
        Self { language, screen: Screen::Desk, scripts: true }
    }

    pub(crate) fn without_scripts(self) -> Self {
        Self { scripts: false, ..self }
    }
}

/// A browser with a fresh profile.
pub(crate) struct Browser {
    // Ends its session before the driver.
    driver: WebDriver,
    _chrome: Chrome,
    pub(crate) visitor: Visitor,
    base: String,
}

impl Browser {
    /// Starts a browser for the host at this address.
    pub(crate) async fn start(visitor: Visitor, base: &str) -> Self {
        let chrome = Chrome::start(visitor);
        let wanted = chrome.capabilities(visitor);
        // The other client sets up TLS for both; this one waits longer than the driver waits for a page.
        drop(support::http());
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE * 2).build().unwrap();
        let driver = WebDriver::builder(&chrome.url, wanted).client(http).connect().await.unwrap();
        driver.set_page_load_timeout(PATIENCE).await.unwrap();
        driver.set_script_timeout(PATIENCE).await.unwrap();
        let browser = Self { driver, _chrome: chrome, visitor, base: base.to_owned() };
        browser.resize(visitor.screen).await;
        browser
    }

    /// The window of this screen.
    pub(crate) async fn resize(&self, screen: Screen) {
        self.show(screen, screen.height()).await;
    }

    async fn show(&self, screen: Screen, height: u32) {
        let (width, density, mobile) = (screen.width(), screen.density(), screen != Screen::Desk);
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": density, "mobile": mobile});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    // Navigation.

    /// Opens a path of the host, or an absolute address.
    pub(crate) async fn open(&self, path: &str) {
        let address = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        self.driver.goto(&address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    pub(crate) async fn reload(&self) {
        self.driver.refresh().await.unwrap();
    }

    /// Reloads until the element exists.
    pub(crate) async fn reload_until(&self, selector: &str) {
        self.until(&format!("reloading does not bring {selector}"), async || {
            self.reload().await;
            self.has(selector).await.then_some(())
        })
        .await;
    }

    /// The present address: path and query on the host, absolute elsewhere.
    pub(crate) async fn place(&self) -> String {
        let address = self.driver.current_url().await.unwrap().to_string();
        address.strip_prefix(&self.base).map(str::to_owned).unwrap_or(address)
    }

    /// Waits until the address starts with this. Returns it.
    pub(crate) async fn arrive(&self, beginning: &str) -> String {
        self.arrive_where(beginning, |place| place.starts_with(beginning)).await
    }

    /// Waits until the address is exactly this.
    pub(crate) async fn arrive_at(&self, wanted: &str) {
        self.arrive_where(wanted, |place| place == wanted).await;
    }

    async fn arrive_where(&self, wanted: &str, is_there: impl Fn(&str) -> bool) -> String {
        self.until(&format!("never came to {wanted}"), async || {
            Some(self.place().await).filter(|place| is_there(place))
        })
        .await
    }

    /// Follows the first link whose address ends with this.
    pub(crate) async fn follow(&self, end: &str) {
        self.click(&format!("a[href$=\"{end}\"]")).await;
    }

    // Forms.

    /// Replaces the text of the field with this name.
    pub(crate) async fn fill(&self, name: &str, text: &str) {
        self.fill_first(&format!("[name=\"{name}\"]"), text).await;
    }

    /// The same in the form whose action ends with this, if several forms have such a field.
    pub(crate) async fn fill_in(&self, action: &str, name: &str, text: &str) {
        self.fill_first(&format!("form[action$=\"{action}\"] [name=\"{name}\"]"), text).await;
    }

    async fn fill_first(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        // Day fields take the parts in the order of the browser's language.
        if field.attr("type").await.unwrap().as_deref() == Some("date") {
            assert!(self.visitor.scripts, "a day can't be typed without knowing the order of its parts");
            let set = "arguments[0].value = arguments[1]";
            self.driver.execute(set, vec![field.to_json().unwrap(), text.into()]).await.unwrap();
            return;
        }
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Chooses by value, from radio buttons or a list.
    pub(crate) async fn choose(&self, name: &str, value: &str) {
        let radio = format!("input[name=\"{name}\"][value=\"{value}\"]");
        self.click(&format!("{radio}, select[name=\"{name}\"] option[value=\"{value}\"]")).await;
    }

    /// Toggles a checkbox.
    pub(crate) async fn tick(&self, name: &str, wanted: bool) {
        let tick = self.find(&format!("input[type=checkbox][name=\"{name}\"]")).await;
        if tick.is_selected().await.unwrap() != wanted {
            tick.click().await.unwrap();
        }
    }

    /// Picks a file, like a person in the dialog.
    pub(crate) async fn attach(&self, name: &str, file: &Path) {
        self.find(&format!("input[type=file][name=\"{name}\"]")).await.send_keys(file.to_str().unwrap()).await.unwrap();
    }

    /// Presses the button of the form whose action ends with this.
    pub(crate) async fn press(&self, action: &str) {
        self.click(&format!("form[action$=\"{action}\"] button:not([type=button])")).await;
    }

    /// The same, if the form has several buttons.
    pub(crate) async fn press_of(&self, action: &str, name: &str, value: &str) {
        self.click(&format!("form[action$=\"{action}\"] button[name=\"{name}\"][value=\"{value}\"]")).await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        // The button may move or be replaced meanwhile.
        let what = format!("could not click {selector}");
        self.until(&what, async || self.seek(selector).await?.click().await.ok()).await;
    }

    // The keyboard.

    /// Presses a key in the focused element.
    pub(crate) async fn key(&self, key: Key) {
        self.driver.action_chain().send_keys(TypingData::from(key)).perform().await.unwrap();
    }

    /// Presses Tab until the element has the focus. Returns the number of steps.
    pub(crate) async fn tab_to(&self, selector: &str) -> usize {
        for step in 1..=80 {
            self.key(Key::Tab).await;
            let reached =
                "const wanted = document.querySelector(arguments[0]); return wanted === document.activeElement";
            if self.run(reached, &[selector.into()]).await == true {
                return step;
            }
        }
        self.give_up(&format!("Tab never reaches {selector}")).await
    }

    /// Types into the focused element.
    pub(crate) async fn type_on(&self, text: &str) {
        self.driver.action_chain().send_keys(text).perform().await.unwrap();
    }

    /// Whether the focus is visible.
    pub(crate) async fn is_focus_seen(&self) -> bool {
        let seen = "const focused = document.activeElement, style = getComputedStyle(focused), place = focused.getBoundingClientRect(); \
            return focused !== document.body && place.width > 1 && place.bottom > 0 && \
                ((style.outlineStyle !== 'none' && style.outlineWidth !== '0px') || style.boxShadow !== 'none')";
        self.run(seen, &[]).await == true
    }

    // Reading.

    /// Repeats until there is a result.
    async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            if began.elapsed() > PATIENCE {
                self.give_up(what).await;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The first matching element.
    async fn seek(&self, selector: &str) -> Option<WebElement> {
        self.driver.find(By::Css(selector)).await.ok()
    }

    /// The same, after waiting for it.
    async fn find(&self, selector: &str) -> WebElement {
        self.until(&format!("there is no {selector}"), async || self.seek(selector).await).await
    }

    /// Waits until a matching element exists.
    pub(crate) async fn wait_for(&self, selector: &str) {
        self.find(selector).await;
    }

    pub(crate) async fn has(&self, selector: &str) -> bool {
        self.seek(selector).await.is_some()
    }

    /// The visible text of the first matching element.
    pub(crate) async fn text_of(&self, selector: &str) -> String {
        // An element that is replaced between finding and reading is found again.
        let what = format!("could not read {selector}");
        self.until(&what, async || self.seek(selector).await?.text().await.ok()).await
    }

    /// The same, after waiting for a text.
    pub(crate) async fn read_some(&self, selector: &str) -> String {
        let what = format!("{selector} says nothing");
        self.until(&what, async || Some(self.text_of(selector).await).filter(|text| !text.is_empty())).await
    }

    /// The page's source, including invisible parts.
    pub(crate) async fn html(&self) -> String {
        self.driver.source().await.unwrap()
    }

    /// The visible text of the whole page.
    pub(crate) async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// Waits until the page contains this text.
    pub(crate) async fn wait_to_read(&self, wanted: &str) {
        let what = format!("nowhere says {wanted:?}");
        self.until(&what, async || self.text().await.contains(wanted).then_some(())).await;
    }

    pub(crate) async fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let what = format!("could not read {name} of {selector}");
        self.until(&what, async || self.seek(selector).await?.attr(name).await.ok()).await
    }

    /// The present value of a field.
    pub(crate) async fn value(&self, name: &str) -> String {
        self.find(&format!("[name=\"{name}\"]")).await.prop("value").await.unwrap().unwrap_or_default()
    }

    /// The error at a refused field. Checks that the field refers to it and that an alert is above the form.
    pub(crate) async fn refusal_of(&self, field: &str) -> String {
        self.wait_for(&format!("[id=\"{field}-error\"]")).await;
        let input = format!("[aria-describedby~=\"{field}-error\"]");
        assert_eq!(self.attribute(&input, "aria-invalid").await.as_deref(), Some("true"), "{field} is marked as wrong");
        assert!(self.has("[role=alert]").await, "the refusal of {field} is announced");
        self.text_of(&format!("[id=\"{field}-error\"]")).await
    }

    /// The notice after an action.
    pub(crate) async fn notice(&self) -> String {
        self.text_of(".notice[role=status]").await
    }

    /// Runs a function's body in the page.
    pub(crate) async fn run(&self, body: &str, arguments: &[Value]) -> Value {
        self.driver.execute(body, arguments.to_vec()).await.unwrap_or_else(|error| panic!("{error}")).json().clone()
    }

    // Cookies.

    pub(crate) async fn cookie(&self, name: &str) -> Option<Cookie> {
        self.driver.get_all_cookies().await.unwrap().into_iter().find(|cookie| cookie.name == name)
    }

    pub(crate) async fn set_cookie(&self, cookie: Cookie) {
        self.driver.add_cookie(cookie).await.unwrap();
    }

    // Checks.

    /// The bytes of the page's HTML.
    pub(crate) async fn html_bytes(&self) -> u64 {
        let size = "return performance.getEntriesByType('navigation')[0].decodedBodySize";
        self.run(size, &[]).await.as_u64().unwrap()
    }

    /// Axe's serious findings.
    pub(crate) async fn kept_out_by(&self) -> Vec<String> {
        let answer = self.run(axe::script(), &[]).await;
        let violations: Vec<Violation> = serde_json::from_value(answer).unwrap();
        violations.iter().filter(|violation| violation.is_serious()).map(Violation::description).collect()
    }

    /// The browser's complaints since the last call: about the content security policy, a script, or a missing
    /// file.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.unwrap();
        // A page may be a refusal itself; and other hosts' pages are not checked.
        let is_ours = |message: &str| message.contains(&self.base);
        let is_asset = |message: &str| message.contains("/assets/") || message.contains("/favicon");
        let severe = log.into_iter().filter(|entry| entry.level == "SEVERE" && is_ours(&entry.message));
        let of_network = |source: Option<&str>| source == Some("network");
        let faults = severe.filter(|entry| !of_network(entry.source.as_deref()) || is_asset(&entry.message));
        faults.map(|entry| entry.message).collect()
    }

    /// Elements that reach over the sides of this screen, so that a phone would scroll sideways, or that are cut off. A phone's
    /// window grows with a page that is too wide, so its width is no criterion.
    pub(crate) async fn overhang(&self, screen: Screen) -> Vec<String> {
        self.resize(screen).await;
        let overhang = "const width = arguments[0], root = document.documentElement; \
            const told = (what, by) => what.tagName + '.' + what.className + ' by ' + by + ': ' + what.textContent.trim().slice(0, 40); \
            const seen = [...document.querySelectorAll('main *, header *, footer *')].filter(what => \
                what.checkVisibility() && !what.closest('.sr-only, .skip, .digits, svg')); \
            const out = seen.filter(what => what.getBoundingClientRect().right > width + 1 || what.getBoundingClientRect().left < -1) \
                .map(what => told(what, Math.round(what.getBoundingClientRect().right - width))); \
            const slid = seen.filter(what => what.scrollWidth > what.clientWidth + 1 && what.clientWidth > 0 && \
                !['INPUT', 'TEXTAREA', 'SELECT'].includes(what.tagName)).map(what => told(what, what.scrollWidth - what.clientWidth)); \
            const page = root.scrollWidth > width ? ['the page by ' + (root.scrollWidth - width)] : []; \
            return [...new Set(page.concat(out, slid))].slice(0, 6)";
        let found = self.run(overhang, &[screen.width().into()]).await;
        serde_json::from_value(found).unwrap()
    }

    /// Starts to sum up layout shifts, including those since the page's start.
    pub(crate) async fn watch_shifts(&self) {
        let watch = "window.shifted = 0; \
            new PerformanceObserver(list => list.getEntries().forEach(entry => { \
                if (!entry.hadRecentInput) window.shifted += entry.value; \
            })).observe({type: 'layout-shift', buffered: true})";
        self.run(watch, &[]).await;
    }

    /// The sum so far, including the last frame.
    pub(crate) async fn shifted(&self) -> f64 {
        let sum = "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => \
            setTimeout(() => done(window.shifted), 100))))";
        self.run(sum, &[]).await.as_f64().unwrap()
    }

    /// Saves the whole page as an image, named by page, language and width.
    pub(crate) async fn screenshot(&self, page: &str, screen: Screen) {
        let name = format!("{page}-{}-{}.png", self.visitor.language.tag(), screen.width());
        self.resize(screen).await;
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let height = size["cssContentSize"]["height"].as_u64().and_then(|height| u32::try_from(height).ok());
        self.show(screen, height.unwrap_or(0).max(screen.height())).await;
        self.photograph(&folder("screenshots").join(name)).await;
        self.resize(screen).await;
    }

    /// The window as an image.
    pub(crate) async fn photograph(&self, file: &Path) {
        self.driver.screenshot(file).await.unwrap();
    }

    /// Fails with the visible text.
    async fn give_up(&self, what: &str) -> ! {
        let place = self.place().await;
        let text = match self.driver.find(By::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        let image = folder("screenshots").join("failed.png");
        let _ = self.driver.screenshot(&image).await;
        panic!("{what}; at {place} ({:?}), see {}:\n{text}", self.visitor, image.display());
    }
}

/// A folder in the build folder.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
