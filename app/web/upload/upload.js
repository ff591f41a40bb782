// A clip goes to disk by a request of its own; the page is told its token only.
// data: { limit_mb, words }; answers state "upload": { token, name } or null.
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const host = parentElement.querySelector(".rl-upload");
  const input = host.querySelector("input"), bar = host.querySelector("progress"), said = host.querySelector(".rl-said");
  host.querySelector(".rl-limits").textContent = data.words;

  function say(words, wrong) { // text only: a file's name is never markup
    said.textContent = words;
    said.classList.toggle("rl-wrong", Boolean(wrong));
    bar.hidden = true;
  }

  function refuse(words) {
    say(words, true);
    setStateValue("upload", null);
  }

  function send(file) {
    if (!file) return;
    if (file.size > data.limit_mb * 1048576) return refuse(`this clip is over ${data.limit_mb} MB`);
    const name = file.name.length > 60 ? `${file.name.slice(0, 57)}…` : file.name;
    const request = new XMLHttpRequest();
    request.open("PUT", new URL("uploads", document.baseURI));
    request.setRequestHeader("X-Roadlens", "upload");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => { bar.hidden = false; bar.value = event.loaded / Math.max(event.total, 1); };
    request.onerror = () => refuse("the upload broke off; is the server still there?");
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* not ours: a proxy's page */ }
      if (request.status !== 201 || !answer.token) return refuse(answer.error || `the upload was refused (${request.status})`);
      say(`${name}, ${file.size >= 1e5 ? `${(file.size / 1e6).toFixed(1)} MB` : `${Math.ceil(file.size / 1e3)} kB`}`);
      setStateValue("upload", { token: answer.token, name: file.name });
    };
    if (host.roadlensRequest) host.roadlensRequest.abort();
    host.roadlensRequest = request;
    say(`sending ${name}`);
    request.send(file);
  }

  input.onchange = () => send(input.files[0]);
  host.ondragover = (event) => { event.preventDefault(); host.classList.add("rl-over"); };
  host.ondragleave = () => host.classList.remove("rl-over");
  host.ondrop = (event) => { event.preventDefault(); host.classList.remove("rl-over"); send(event.dataTransfer.files[0]); };
}
