// Drives docs/examples/predict.html: node example_check.mjs ADDRESS CHROMIUM FILE...; prints one line for each file.
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const { chromium } = createRequire(path.join(here, "../../export/web/package.json"))("playwright-core");
const [address, executablePath, ...files] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"] });
try {
  const page = await browser.newPage();
  for (const file of files) {
    await page.goto(address);
    await page.setInputFiles("input", file);
    await page.waitForFunction(() => document.querySelector("output").value, null, { timeout: 60000 });
    console.log(await page.evaluate(() => document.querySelector("output").value), file);
  }
} finally {
  await browser.close();
}
