// What a host tells the widget: who has signed in, proved by the host's own token, and what it wants to hear of a call.
const widget = document.querySelector("support-widget");
widget.customerEmail = "amina@example.com";
widget.getToken = async () => (await fetch("/my/token")).text();
widget.addEventListener("callstart", ({ detail }) => console.log("call", detail.callId));
widget.addEventListener("callend", ({ detail }) => console.log("ended", detail.callId, detail.reason));
