// A customer's browser on the notice page: node browse.mjs URL [FOLDER FOR PICTURES]
//
// Looks at each page in each language, narrow and wide, light and dark: axe-core must find nothing,
// nothing may scroll sideways, load from elsewhere or fail to load. Then, without scripts, as a
// customer does: reads, presses the button, answers, and is thanked.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.NODE_MODULES, "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, pictures] = process.argv.slice(2);
const LANGUAGES = ["en", "de", "es", "fr", "mi"];
const NARROW = { width: 360, height: 740 };
const WIDE = { width: 1280, height: 900 };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const READING = 1500; // longer than the --reading of the server

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

// A page in a context of its own that notes what goes wrong on it.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("requestfailed", (request) => wrong.push(`failed: ${request.url()}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) wrong.push(`elsewhere: ${request.url()}`);
  });
  return { context, page, wrong };
}

async function look(page, what) {
  for (const closed of await page.locator("details:not([open]) > summary").all()) await closed.click();
  await page.evaluate(axe);
  const found = await page.evaluate(
    (rules) => window.axe.run(document, { runOnly: { type: "tag", values: rules } }),
    RULES,
  );
  const said = found.violations.map(
    ({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join("\n  ")}`,
  );
  assert.deepEqual(said, [], `${what}: axe-core finds\n${said.join("\n")}`);
  assert.ok(found.passes.length > 15, `${what}: axe-core looked at hardly anything`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wide <= 0, `${what}: ${wide} pixels wider than the screen`);
}

let looked = 0;
for (const [viewport, colorScheme] of [[NARROW, "light"], [WIDE, "dark"]]) {
  const { context, page, wrong } = await open({ viewport, colorScheme });
  for (const language of LANGUAGES) {
    for (const path of ["/", "/clean"]) {
      await page.goto(`${url}${path}?lang=${language}`);
      const what = `${path} in ${language}, ${viewport.width} wide, ${colorScheme}`;
      assert.equal(await page.locator("html").getAttribute("lang"), language);
      await look(page, what);
      looked += 1;
    }
  }
  assert.deepEqual(wrong, []);
  await context.close();
}
console.log(`axe-core finds nothing on ${looked} pages`);

// The browser's language counts, and the keyboard reaches everything.
{
  const { context, page, wrong } = await open({ viewport: WIDE, locale: "de-AT" });
  await page.goto(`${url}/`);
  assert.equal(await page.locator("html").getAttribute("lang"), "de");
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.getAttribute("href"));
  assert.equal(first, "#text", "the first key press reaches the way past the menu");
  assert.ok(await page.locator(".skip").isVisible());
  assert.deepEqual(wrong, []);
  await context.close();
}

async function picture(name, options, path, prepare = async () => {}) {
  if (!pictures) return;
  const { context, page } = await open({ deviceScaleFactor: 1.5, ...options });
  await page.goto(`${url}${path}`);
  await prepare(page);
  await page.screenshot({ path: join(pictures, name) });
  await context.close();
}
await picture("notice-mobile.png", { viewport: { width: 390, height: 1500 } }, "/?lang=en");
await picture("notice-question.png", { viewport: { width: 390, height: 1500 } }, "/clean?lang=en");
await picture("notice-desktop.png", { viewport: { width: 1100, height: 1500 } }, "/?lang=de");
await picture("notice-maori.png", { viewport: { width: 390, height: 844 } }, "/?lang=mi");

// The customer, without scripts.
{
  const { context, page, wrong } = await open({ viewport: NARROW, javaScriptEnabled: false });
  await page.goto(`${url}/some/page?that=was#wanted`);
  await page.getByRole("link", { name: "English" }).click();
  await page.getByRole("heading", { level: 1, name: "A device on your connection" }).waitFor();
  await page.getByRole("button", { name: "I have cleaned it" }).click();
  await page.getByRole("heading", { level: 1, name: "One question before that" }).waitFor();
  await page.waitForTimeout(READING);
  await page.getByRole("radio", { name: "I have checked every device" }).check();
  await page.getByRole("button", { name: "Send my answer" }).click();
  await page.getByRole("heading", { level: 1, name: "Nothing is blocked any more" }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
  console.log("the customer is released");
}

// What is left to look at: the page after the release.
{
  const { context, page, wrong } = await open({ viewport: NARROW });
  for (const language of LANGUAGES) {
    await page.goto(`${url}/?lang=${language}`);
    await look(page, `after the release in ${language}`);
  }
  assert.deepEqual(wrong, []);
  await context.close();
}
await picture("notice-done.png", { viewport: { width: 390, height: 844 } }, "/?lang=en");
await browser.close();
