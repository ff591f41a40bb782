// A frame with two handles: the circle is the vanishing point, the square turns the horizon about it.
// data: { image, size: [w, h], x, y, roll_deg }; answers state "mount": { x, y, roll_deg } in pixels of the frame.
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const host = parentElement.querySelector(".rl-horizon");
  const image = host.querySelector("img"), svg = host.querySelector("svg");
  const [line, circle, square] = ["line", "circle", "rect"].map((name) => svg.querySelector(name));
  const arm = data.size[0] * 0.3, radius = data.size[0] * 0.012;
  let { x, y, roll_deg: roll } = data;
  const set = (element, values) => Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value));

  function draw() {
    const cos = Math.cos((roll * Math.PI) / 180), sin = Math.sin((roll * Math.PI) / 180), far = 2 * data.size[0];
    set(line, { x1: x - far * cos, y1: y + far * sin, x2: x + far * cos, y2: y - far * sin });
    set(circle, { cx: x, cy: y, r: radius });
    set(square, { x: x + arm * cos - radius, y: y - arm * sin - radius, width: 2 * radius, height: 2 * radius });
  }

  function at(event) {
    const box = image.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * data.size[0], ((event.clientY - box.top) / box.height) * data.size[1]];
  }

  function tell() { setStateValue("mount", { x, y, roll_deg: roll }); }

  function drag(handle, move) {
    handle.onpointerdown = (event) => { handle.setPointerCapture(event.pointerId); event.preventDefault(); };
    handle.onpointermove = (event) => { if (handle.hasPointerCapture(event.pointerId)) { move(...at(event)); draw(); } };
    handle.onpointerup = (event) => { handle.releasePointerCapture(event.pointerId); tell(); };
  }

  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  host.onkeydown = (event) => {
    const by = KEYS[event.key];
    if (!by) return;
    event.preventDefault();
    x += by[0];
    y += by[1];
    draw();
  };
  host.onkeyup = (event) => { if (KEYS[event.key]) tell(); };
  drag(circle, (px, py) => { x = px; y = py; });
  drag(square, (px, py) => {
    if (px > x + radius) roll = Math.max(-15, Math.min(15, (Math.atan2(y - py, px - x) * 180) / Math.PI));
  });
  svg.setAttribute("viewBox", `0 0 ${data.size[0]} ${data.size[1]}`);
  if (image.src !== data.image) image.src = data.image;
  draw();
}
