// Shows the newest picture of a live run: the next one is asked for when the last one has been drawn, so that a slow
// line skips pictures and never lags. data: { address }.
export default function (component) {
  const { data, parentElement } = component;
  const host = parentElement.querySelector(".rl-live");
  if (host.roadlensAddress === data.address) return;
  host.roadlensAddress = data.address;
  const image = host.querySelector("img"), words = host.querySelector("span");
  const alive = () => host.isConnected && host.roadlensAddress === data.address;
  let number = 0, failures = 0;

  function ask() {
    if (!alive()) return;
    const next = new Image();
    next.onload = () => {
      failures = 0;
      words.hidden = true;
      image.src = next.src;
      setTimeout(ask, 60);
    };
    next.onerror = () => {
      failures += 1;
      if (failures > 5 && image.src) { words.textContent = "no new pictures"; words.hidden = false; }
      setTimeout(ask, 500);
    };
    next.src = `${data.address}?${Date.now()}-${number++}`;
  }
  ask();
}
