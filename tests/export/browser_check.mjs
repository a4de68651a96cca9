// Drives the page in a headless browser: node browser_check.mjs ADDRESS CHROMIUM FOLDER [SCREENSHOT]
// Prints one JSON object of what was seen; the Python test judges it.
import { createRequire } from "node:module";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, "../../export/web/package.json"));
const { chromium } = require("playwright-core");
const [address, executablePath, folder, screenshot] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1080, height: 900 } });
  const seen = { requests: [], errors: [] };
  page.on("request", (request) => seen.requests.push([request.method(), request.url()]));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") seen.errors.push(message.text()); });
  await page.goto(address);
  await page.waitForFunction(() => document.getElementById("status").textContent.startsWith("Ready"));
  seen.isolated = await page.evaluate(() => crossOriginIsolated);
  seen.beforeImages = seen.requests.length;

  const files = (await readdir(folder)).sort().map((name) => path.join(folder, name));
  await page.setInputFiles("#files", files);
  await page.waitForFunction((count) => document.querySelectorAll(".card .number:not(:empty)").length === count, files.length);
  await page.waitForFunction(() => / images?: /.test(document.getElementById("status").textContent));
  const cards = () => page.$$eval(".card", (all) => all.map((card) => ({
    name: card.querySelector("h3").textContent,
    decision: card.querySelector(".decision").textContent,
    probability: card.dataset.probability === undefined ? null : Number(card.dataset.probability),
    number: card.querySelector(".number").textContent,
    reasons: card.querySelector(".reasons").textContent,
    meter: card.querySelector("meter").checkVisibility(),
    label: card.querySelector("canvas").getAttribute("aria-label"),
    aspect: card.querySelector("canvas").width / card.querySelector("canvas").height,
  })));
  seen.cards = await cards();
  seen.afterImages = seen.requests.length;
  seen.status = await page.textContent("#status");

  await page.focus("#threshold");  // by keyboard, as someone without a mouse would
  await page.keyboard.press("Home");
  seen.atZero = (await cards()).map((card) => card.decision);
  await page.keyboard.press("End");
  seen.atOne = (await cards()).map((card) => card.decision);
  await page.click("#reset");
  seen.atReset = (await cards()).map((card) => card.decision);
  seen.threshold = await page.textContent("#threshold-value");

  seen.choice = await page.locator("#two-way-choice").isVisible();
  if (seen.choice) {
    await page.check("#two-way");
    seen.twoWay = (await cards()).map((card) => card.decision);
    await page.uncheck("#two-way");
    seen.fourWay = (await cards()).map((card) => card.decision);
    seen.rule = await page.textContent("#rule");
  }

  await page.click("#golden");
  await page.waitForFunction(() => /passed|FAILED|could not be run/.test(document.getElementById("golden-result").textContent), null, { timeout: 60000 });
  seen.golden = await page.textContent("#golden-result");
  seen.goldenFigures = await page.$eval("#golden-result", (node) => ({ ...node.dataset }));
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });

  const colours = () => page.$eval(".card:not(.failed):not(.unsuitable) canvas", (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let coloured = 0;
    for (let i = 0; i < data.length; i += 4) coloured += Math.abs(data[i] - data[i + 2]) > 8;
    return coloured;
  });
  seen.colouredWith = await colours();
  await page.uncheck("#heat");
  seen.colouredWithout = await colours();
  seen.reachable = [];
  await page.focus("#files");
  for (let i = 0; i < 7; i++) {
    seen.reachable.push(await page.evaluate(() => document.activeElement.id));
    await page.keyboard.press("Tab");
  }
  seen.unlabelled = await page.$$eval("input, button", (all) => all
    .filter((node) => !node.labels?.length && !node.textContent.trim() && !node.getAttribute("aria-label")).map((node) => node.id));
  await page.click("#clear");
  seen.afterClear = (await cards()).length;
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
