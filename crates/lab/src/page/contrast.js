(() => {
  // Relative luminance and contrast as WCAG 2.2 defines them.
  const numbers = colour => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => [red, green, blue]
    .map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const background = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const hasText = element => [...element.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.data.trim());
  const visible = element => element.getClientRects().length > 0;
  let worst = { contrast: Infinity, text: "" };
  for (const element of document.body.querySelectorAll("*")) {
    if (!hasText(element) || !visible(element)) continue;
    const [one, other] = [numbers(getComputedStyle(element).color), background(element)].map(luminance).sort((one, other) => one - other);
    const contrast = (other + 0.05) / (one + 0.05);
    if (contrast < worst.contrast) worst = { contrast, text: element.textContent.slice(0, 40) };
  }
  return { ...worst, background: getComputedStyle(document.body).backgroundColor };
})()
