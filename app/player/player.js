// The player: draws a run's records over its clip, in step with the frames that the browser really shows.
//
// data: { src, size: [w, h], classes, colours, events: [{kind, from, to, text, id}],
//         frames: [{ t, objects: [{id, class, seen, box, xy, sigma, foot, ahead, ellipse, ttc, v, cube}],
//                    lanes: [{ego, kind, px, xy}], warned, words, speed, offset }] }
// Pixels are of the clip; metres are of the vehicle: x forward, y left. What is unknown is null or missing.

const LAYERS = { boxes: "boxes", cubes: "3D boxes", labels: "distances", lanes: "lanes", trails: "trails", rings: "grid" };
const START_OFF = new Set(["cubes"]);
const EVENT_COLOURS = {
  "forward collision": "#D55E00", headway: "#E69F00", "cut-in": "#CC79A7", "lane departure": "#F0E442", calibration: "#56B4E9",
};
const CUBE_EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
const TRAIL_S = 2, REACH_M = 60, BEHIND_M = 4, HALF_FRAME_S = 0.02, UNKNOWN_AFTER_S = 1, LABEL_CSS_PX = 12;

export function mount(root, data, onFollow = () => {}) {
  const $ = (name) => root.querySelector(`.rl-${name}`);
  const host = root.querySelector(".roadlens-player");
  const video = $("video"), overlay = $("overlay"), birdseye = $("birdseye"), seek = $("seek");
  const times = data.frames.map((frame) => frame.t);
  video.style.aspectRatio = `${data.size[0]} / ${data.size[1]}`; // the place is kept while the clip is on its way
  const state = { index: 0, followed: 0, hovered: 0, hidden: new Set(), off: new Set(START_OFF), alive: true };
  const cleanUps = [];
  const on = (target, event, call) => {
    target.addEventListener(event, call);
    cleanUps.push(() => target.removeEventListener(event, call));
  };

  // -- time ---------------------------------------------------------------------------------------------------

  function frameAt(t) { // the last frame that is not later than t
    let low = 0, high = times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= t + 1e-3) low = middle; else high = middle - 1;
    }
    return low;
  }

  function show(t) {
    state.index = frameAt(t);
    if (video.duration) seek.value = String(t / video.duration);
    $("clock").textContent = `${t.toFixed(2)} s`;
    draw();
  }

  function step(by) {
    video.pause();
    const index = Math.min(Math.max(frameAt(video.currentTime) + by, 0), times.length - 1);
    if (times.length) video.currentTime = times[index] + HALF_FRAME_S; // inside the frame, not on its edge
  }

  function follow(id) {
    state.followed = state.followed === id ? 0 : id;
    onFollow(state.followed);
    draw();
  }

  function watch() { // called by the browser for every frame it really presents
    if (!state.alive) return;
    if (video.requestVideoFrameCallback) {
      video.requestVideoFrameCallback((now, meta) => { show(meta.mediaTime); watch(); });
    } else {
      requestAnimationFrame(() => { if (!video.paused) show(video.currentTime); watch(); });
    }
  }

  // -- picture ------------------------------------------------------------------------------------------------

  function fit(canvas, width, height) {
    const scale = window.devicePixelRatio || 1;
    const box = canvas.getBoundingClientRect();
    const [w, h] = [Math.max(1, Math.round(box.width * scale)), Math.max(1, Math.round(box.height * scale))];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const pen = canvas.getContext("2d");
    pen.setTransform(w / (width || w), 0, 0, h / (height || h), 0, 0);
    pen.clearRect(0, 0, width || w, height || h);
    return [pen, scale];
  }

  const colourOf = (object, frame) =>
    frame.warned.includes(object.id) ? data.colours.alert : data.colours.classes[object.class];
  const shown = (frame) => frame.objects.filter((object) => !state.hidden.has(object.class));

  function path(pen, flat, map = (x, y) => [x, y]) {
    pen.beginPath();
    for (let i = 0; i < flat.length; i += 2) pen[i ? "lineTo" : "moveTo"](...map(flat[i], flat[i + 1]));
  }

  const NOTHING = { t: 0, objects: [], lanes: [], warned: [], words: [], speed: null, offset: null };

  function current() { // outside the part of the clip that was run, nothing is known
    const frame = data.frames[state.index];
    return frame && Math.abs(video.currentTime - frame.t) < UNKNOWN_AFTER_S ? frame : NOTHING;
  }

  function draw() {
    const frame = current();
    drawPicture(frame);
    drawBirdseye(frame);
    const words = frame.words.length ? frame.words[0] : "";
    $("warning").hidden = !words;
    $("warning").textContent = words;
    $("facts").textContent = facts(frame);
  }

  function drawPicture(frame) {
    const [pen] = fit(overlay, ...data.size);
    const unit = data.size[1] / 720;
    if (!state.off.has("lanes")) drawLanes(pen, frame, unit);
    for (const object of shown(frame)) {
      const [left, top, right, bottom] = object.box;
      pen.strokeStyle = colourOf(object, frame);
      pen.lineWidth = (object.id === state.followed || object.id === state.hovered ? 4 : 2) * unit;
      pen.setLineDash(object.seen ? [] : [6 * unit, 6 * unit]);
      if (!state.off.has("boxes")) pen.strokeRect(left, top, right - left, bottom - top);
      if (!state.off.has("cubes") && object.cube) drawCube(pen, object.cube);
    }
    pen.setLineDash([]);
    if (!state.off.has("labels")) drawLabels(pen, frame, unit);
  }

  function drawLanes(pen, frame, unit) {
    const ego = frame.lanes.filter((lane) => lane.ego && lane.px.length > 2);
    if (ego.length === 2) {
      const back = [];
      for (let i = ego[1].px.length - 2; i >= 0; i -= 2) back.push(ego[1].px[i], ego[1].px[i + 1]);
      path(pen, ego[0].px.concat(back));
      pen.globalAlpha = 0.22;
      pen.fillStyle = data.colours.ego;
      pen.fill();
      pen.globalAlpha = 1;
    }
    for (const lane of frame.lanes) {
      pen.strokeStyle = lane.ego ? data.colours.ego : data.colours.lane;
      pen.lineWidth = (lane.ego ? 4 : 2) * unit;
      path(pen, lane.px);
      pen.stroke();
    }
  }

  function drawCube(pen, cube) {
    pen.beginPath();
    for (const [a, b] of CUBE_EDGES) {
      pen.moveTo(cube[2 * a], cube[2 * a + 1]);
      pen.lineTo(cube[2 * b], cube[2 * b + 1]);
    }
    pen.stroke();
  }

  function label(object) {
    const name = data.classes[object.class];
    if (name.startsWith("traffic")) return "";
    return object.xy ? `${name} ${object.xy[0].toFixed(0)} m ±${object.sigma.toFixed(1)}` : name;
  }

  function drawLabels(pen, frame, unit) { // warned of and followed first, then the nearest; none covers another
    const rank = (o) => (frame.warned.includes(o.id) || o.id === state.followed ? 0 : o.xy ? o.xy[0] : 1000);
    const perCssPx = data.size[0] / Math.max(overlay.clientWidth, 1); // on a phone the clip is small, words must not be
    const size = Math.max(18 * unit, LABEL_CSS_PX * perCssPx), pad = size / 4.5, taken = [];
    pen.font = `500 ${size}px system-ui, sans-serif`;
    for (const object of shown(frame).sort((a, b) => rank(a) - rank(b))) {
      const text = label(object);
      if (!text) continue;
      const width = pen.measureText(text).width + 2 * pad, height = size + 2 * pad;
      const x = Math.min(Math.max(object.box[0], 0), Math.max(data.size[0] - width, 0));
      const y = Math.max(object.box[1] - height, 0);
      if (taken.some(([a, b, c, d]) => x < c && x + width > a && y < d && y + height > b)) continue;
      taken.push([x, y, x + width, y + height]);
      pen.fillStyle = "rgba(21, 24, 28, 0.75)";
      pen.fillRect(x, y, width, height);
      pen.fillStyle = colourOf(object, frame);
      pen.fillRect(x, y, 3 * unit, height);
      pen.fillStyle = "#fff";
      pen.fillText(text, x + pad + 2 * unit, y + size);
    }
  }

  // -- the road from above ------------------------------------------------------------------------------------

  function drawBirdseye(frame) {
    const [pen, scale] = fit(birdseye);
    const perMetre = birdseye.height / (REACH_M + BEHIND_M);
    const map = (x, y) => [birdseye.width / 2 - y * perMetre, birdseye.height - (x + BEHIND_M) * perMetre];
    if (!state.off.has("rings")) drawRings(pen, map, perMetre, scale);
    if (!state.off.has("lanes")) {
      for (const lane of frame.lanes) {
        pen.strokeStyle = lane.ego ? data.colours.ego : data.colours.lane;
        pen.lineWidth = 2 * scale;
        pen.setLineDash(lane.kind === "dashed" ? [8 * scale, 8 * scale] : []);
        path(pen, lane.xy, map);
        pen.stroke();
      }
      pen.setLineDash([]);
    }
    const objects = shown(frame).filter((object) => object.xy);
    if (!state.off.has("trails")) drawTrails(pen, objects, frame, map, scale);
    for (const object of objects) drawBody(pen, object, frame, map, perMetre, scale);
    pen.fillStyle = "#fff";
    const [ownLeft, ownTop] = map(0, 0.9), [ownRight, ownBottom] = map(-4.6, -0.9);
    pen.fillRect(ownLeft, ownTop, ownRight - ownLeft, ownBottom - ownTop);
  }

  function drawRings(pen, map, perMetre, scale) {
    const [x0, y0] = map(0, 0);
    pen.strokeStyle = "#343b42";
    pen.fillStyle = "#9aa3ab";
    pen.lineWidth = scale;
    pen.font = `${11 * scale}px system-ui, sans-serif`;
    for (let far = 10; far <= REACH_M; far += 10) {
      pen.beginPath();
      pen.arc(x0, y0, far * perMetre, Math.PI, 2 * Math.PI);
      pen.stroke();
      pen.fillText(`${far} m`, 4 * scale, map(far, 0)[1] + 12 * scale);
    }
  }

  function drawTrails(pen, objects, frame, map, scale) {
    const past = [];
    for (let i = state.index; i >= 0 && frame.t - times[i] <= TRAIL_S; i--) past.push(data.frames[i]);
    for (const object of objects) {
      const flat = [];
      for (const before of past) {
        const then = before.objects.find((o) => o.id === object.id && o.xy);
        if (then) flat.push(...then.xy);
      }
      pen.strokeStyle = colourOf(object, frame);
      pen.lineWidth = scale;
      path(pen, flat, map);
      pen.stroke();
    }
  }

  function drawBody(pen, object, frame, map, perMetre, scale) {
    const colour = colourOf(object, frame);
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = (object.id === state.followed ? 2.5 : 1) * scale;
    path(pen, [...object.xy, ...object.ahead], map);
    pen.stroke();
    if (object.ellipse) {
      const [large, small, angle] = object.ellipse, [x, y] = map(...object.xy);
      pen.beginPath();
      pen.ellipse(x, y, large * perMetre, small * perMetre, -angle - Math.PI / 2, 0, 2 * Math.PI);
      pen.stroke();
    }
    path(pen, object.foot, map);
    pen.closePath();
    pen.fill();
    if (object.id === state.followed) { pen.strokeStyle = "#fff"; pen.stroke(); }
  }

  // -- words --------------------------------------------------------------------------------------------------

  function facts(frame) {
    const object = frame.objects.find((o) => o.id === (state.hovered || state.followed));
    if (object) {
      const parts = [`${data.classes[object.class]} ${object.id}`];
      if (object.xy) parts.push(`${object.xy[0].toFixed(1)} ± ${object.sigma.toFixed(1)} m ahead`);
      if (object.ttc !== null && object.ttc !== undefined) parts.push(`${object.ttc.toFixed(1)} s to collision`);
      return parts.join(" · ");
    }
    const parts = [frame.speed === null ? "own speed unknown" : `${(3.6 * frame.speed).toFixed(0)} km/h`];
    if (frame.offset !== null) parts.push(`${Math.abs(frame.offset).toFixed(2)} m ${frame.offset > 0 ? "left" : "right"} of the lane's centre`);
    parts.push(`${frame.objects.length} objects`);
    return parts.join(" · ");
  }

  // -- controls -----------------------------------------------------------------------------------------------

  function objectAt(event) { // the smallest box under the pointer
    const box = overlay.getBoundingClientRect(), frame = current();
    const x = ((event.clientX - box.left) / box.width) * data.size[0];
    const y = ((event.clientY - box.top) / box.height) * data.size[1];
    const under = shown(frame).filter((o) => x >= o.box[0] && x <= o.box[2] && y >= o.box[1] && y <= o.box[3]);
    const area = (o) => (o.box[2] - o.box[0]) * (o.box[3] - o.box[1]);
    return under.length ? under.reduce((a, b) => (area(a) < area(b) ? a : b)).id : 0;
  }

  function toggles(entries, set) {
    for (const [key, name] of entries) {
      const holder = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !set.has(key);
      box.addEventListener("change", () => { set[box.checked ? "delete" : "add"](key); draw(); });
      holder.append(box, name);
      $("layers").append(holder);
    }
  }

  function fillTimeline() {
    const length = video.duration || times[times.length - 1] || 1;
    $("timeline").replaceChildren(...data.events.map((event) => {
      const mark = document.createElement("button");
      mark.style.left = `${(100 * event.from) / length}%`;
      mark.style.width = `${(100 * Math.max(event.to - event.from, 0)) / length}%`;
      mark.style.background = EVENT_COLOURS[event.kind] || "#fff";
      mark.title = `${event.from.toFixed(1)} s: ${event.text || event.kind}`;
      mark.addEventListener("click", () => { video.currentTime = event.from + HALF_FRAME_S; if (event.id) state.followed = event.id; });
      return mark;
    }));
  }

  const play = () => (video.paused ? video.play() : video.pause());
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen());
  const KEYS = { " ": play, k: play, ArrowLeft: () => step(-1), ArrowRight: () => step(1), f: full, Escape: () => follow(state.followed) };

  const present = new Set(data.frames.flatMap((frame) => frame.objects.map((object) => object.class)));
  $("layers").replaceChildren();
  toggles(Object.entries(LAYERS), state.off);
  toggles([...present].sort((a, b) => a - b).map((id) => [id, data.classes[id]]), state.hidden);
  on($("play"), "click", play);
  on($("back"), "click", () => step(-1));
  on($("on"), "click", () => step(1));
  on($("full"), "click", full);
  on($("speed"), "change", (event) => { video.playbackRate = Number(event.target.value); });
  on(seek, "input", () => { if (video.duration) video.currentTime = Number(seek.value) * video.duration; });
  on(host, "keydown", (event) => {
    const call = event.target.tagName === "SELECT" ? null : KEYS[event.key];
    if (call) { event.preventDefault(); call(); }
  });
  on(overlay, "mousemove", (event) => { const id = objectAt(event); if (id !== state.hovered) { state.hovered = id; draw(); } });
  on(overlay, "mouseleave", () => { state.hovered = 0; draw(); });
  on(overlay, "click", (event) => { const id = objectAt(event); if (id) follow(id); else play(); host.focus(); });
  for (const event of ["play", "pause"]) on(video, event, () => { $("play").textContent = video.paused ? "Play" : "Pause"; });
  on(video, "seeked", () => show(video.currentTime));
  on(video, "loadedmetadata", () => { fillTimeline(); show(0); });
  const watcher = new ResizeObserver(() => draw());
  watcher.observe(overlay);
  watcher.observe(birdseye);
  if (video.getAttribute("src") !== data.src) video.src = data.src;
  else if (video.readyState >= 1) fillTimeline();
  fillTimeline();
  draw();
  watch();
  return {
    jump: (t) => { video.pause(); video.currentTime = t + HALF_FRAME_S; },
    stop: () => { state.alive = false; watcher.disconnect(); cleanUps.forEach((call) => call()); },
  };
}
