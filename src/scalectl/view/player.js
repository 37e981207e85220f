/*
 * The one player for recordings: a button, a slider, how fast, and where one is. Who has a transcript follows it by
 * onTime(), also before the recording is loaded, when the slider leads through the words alone. Where several are
 * on a page, one plays at a time.
 */

import { audio } from "./attachment.js";
import { h } from "./dom.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const STEPS = { ArrowLeft: -2, ArrowRight: 2, ArrowDown: -2, ArrowUp: 2, PageDown: -10, PageUp: 10 }; /* seconds */

export const clock = (t) => `${Math.floor(t / 60)}:${String(Math.floor(t % 60)).padStart(2, "0")}`;

let playing = null;

export class Player {
        constructor(url) {
                this.audio = null;
                this.duration = 0;
                this.followers = new Set();
                this.button = h("button", { type: "button", class: "play", hidden: true, on: { click: () => this.toggle() } }, "Play");
                this.slider = h("input", { type: "range", min: 0, max: 1, step: "0.01", value: 0, "aria-label": "Where in the recording",
                        on: { input: () => this.seek(Number(this.slider.value)), keydown: (e) => this.onKey(e) } });
                this.where = h("output", { class: "clock" }, "0:00");
                this.whole = h("span", { class: "clock" });
                this.speed = h("select", { class: "speed", "aria-label": "Speed", hidden: true, on: { change: () => this.setSpeed() } },
                        SPEEDS.map((s) => h("option", { value: s, selected: s === 1 }, `${s} \u00d7`)));
                this.controls = h("div", { class: "player", role: "group", "aria-label": "Player", hidden: true },
                        this.button, this.slider, this.where, this.whole, this.speed);
                this.element = h("div", {}, audio(url, (element) => this.setAudio(element)), this.controls);
        }

        /* How long it is at least, whoever says so. */
        extend(seconds) {
                if (!(seconds > this.duration))
                        return;
                this.duration = seconds;
                this.slider.max = String(seconds);
                this.whole.textContent = `of ${clock(seconds)}`;
                this.controls.hidden = false;
        }

        setAudio(element) {
                this.audio = element;
                this.button.hidden = this.speed.hidden = !element;
                this.controls.hidden = !element && !this.duration;
                if (!element)
                        return;
                element.addEventListener("loadedmetadata", () => Number.isFinite(element.duration) && this.extend(element.duration));
                element.addEventListener("play", () => this.onPlay());
                for (const event of ["pause", "ended"])
                        element.addEventListener(event, () => (this.button.textContent = "Play"));
                element.addEventListener("timeupdate", () => this.show(element.currentTime));
        }

        onPlay() {
                if (playing && playing !== this)
                        playing.audio?.pause();
                playing = this;
                this.button.textContent = "Pause";
                const frame = () => {
                        this.show(this.audio.currentTime);
                        if (this.isPlaying() && this.audio.isConnected)
                                requestAnimationFrame(frame);
                };
                frame();
        }

        isPlaying() {
                return this.audio !== null && !this.audio.paused && !this.audio.ended;
        }

        toggle() {
                if (this.isPlaying())
                        this.audio.pause();
                else
                        this.audio?.play().catch(() => null); /* the element says what is wrong */
        }

        setSpeed() {
                this.audio.playbackRate = Number(this.speed.value);
        }

        seek(t) {
                if (this.audio)
                        this.audio.currentTime = t;
                this.show(t);
        }

        show(t) {
                this.slider.value = String(t);
                this.where.textContent = clock(t);
                this.slider.setAttribute("aria-valuetext", clock(t));
                for (const follow of this.followers)
                        follow(t);
        }

        onKey(event) {
                if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(STEPS, event.key))
                        return;
                event.preventDefault();
                this.seek(Math.min(Math.max(Number(this.slider.value) + STEPS[event.key], 0), this.duration));
        }

        onTime(follow) {
                this.followers.add(follow);
        }
}
