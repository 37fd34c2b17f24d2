import { token } from "../theme.ts";

const PAD = 24;
const FONT = "Inter, system-ui, sans-serif";

/** A map's canvas as a picture with a title and a line that says what it is, in the theme's colours. */
export function canvasPng(map: HTMLCanvasElement, title: string, subtitle: string): Promise<Blob> {
  const ratio = devicePixelRatio || 1;
  const head = 56;
  const sheet = document.createElement("canvas");
  sheet.width = map.width + 2 * PAD * ratio;
  sheet.height = map.height + (2 * PAD + head) * ratio;
  const context = sheet.getContext("2d")!;
  context.fillStyle = token("surface");
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.drawImage(map, PAD * ratio, (PAD + head) * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.textBaseline = "top";
  context.fillStyle = token("text");
  context.font = `600 18px ${FONT}`;
  context.fillText(title, PAD, PAD);
  context.fillStyle = token("muted");
  context.font = `12px ${FONT}`;
  context.fillText(subtitle, PAD, PAD + 26);
  return toBlob(sheet);
}

/** An SVG chart as a picture, twice its size on the page. */
export async function svgPng(svg: SVGSVGElement, title: string, subtitle: string): Promise<Blob> {
  const { width, height } = svg.getBoundingClientRect();
  const copy = svg.cloneNode(true) as SVGSVGElement;
  inlineStyles(svg, copy);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", `${width}`);
  copy.setAttribute("height", `${height}`);
  const text = new XMLSerializer().serializeToString(copy);
  const image = new Image();
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    const ratio = devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await canvasPng(canvas, title, subtitle);
  } finally {
    URL.revokeObjectURL(address);
  }
}

const STYLES = ["fill", "stroke", "stroke-width", "opacity", "font", "text-anchor", "dominant-baseline"];

/** A picture of its own has no style sheet: what the page's gave is written into it. */
function inlineStyles(from: Element, to: Element): void {
  const style = getComputedStyle(from);
  for (const name of STYLES) (to as SVGElement).style.setProperty(name, style.getPropertyValue(name));
  for (let i = 0; i < from.children.length; i++) inlineStyles(from.children[i]!, to.children[i]!);
}

const toBlob = (canvas: HTMLCanvasElement): Promise<Blob> =>
  new Promise((resolve, reject) =>
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("the browser made no picture"))),
      "image/png",
    ),
  );
