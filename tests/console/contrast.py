"""Whether people with weak eyes can read it: contrast as WCAG 2 computes it, from what the browser really shows."""

from typing import Any

from tests.console.browser import Browser

LEAST = 4.5  # AA, normal text
LEAST_LARGE = 3.0  # AA, from 24 px or 18.66 px bold on

# Text colour against the nearest painted background below it. What is see-through is blended.
SCRIPT = """
const linear = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const read = (text) => {
  const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
  return [r, g, b, a];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const painted = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    const colour = read(getComputedStyle(e).backgroundColor);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
  if (element.closest(":disabled, .quiet, .skip, title")) continue;
  const style = getComputedStyle(element);
  const background = painted(element);
  const said = element instanceof SVGElement ? style.fill : style.color;
  const text = over(read(said), background);
  const [high, low] = [luminance(text), luminance(background)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  found.push([(high + 0.05) / (low + 0.05), large, node.data.trim().slice(0, 40), said, background.join(",")]);
}
return found;
"""


def unreadable(browser: Browser) -> list[Any]:
    """Texts in sight whose contrast is too low, with why."""
    found = browser.run(SCRIPT)
    assert len(found) > 10, found
    return [text for text in found if text[0] < (LEAST_LARGE if text[1] else LEAST)]
