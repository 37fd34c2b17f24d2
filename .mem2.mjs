import { FolderSink, load } from "./dist/index.js"; import {rmSync} from "node:fs";
rmSync("/tmp/memrun2",{recursive:true,force:true});
const mb=(w)=>{const m=process.memoryUsage();console.log(w,`rss ${(m.rss/2**20|0)} heap ${(m.heapUsed/2**20|0)}/${(m.heapTotal/2**20|0)} ext ${(m.external/2**20|0)} ab ${(m.arrayBuffers/2**20|0)} peak ${(process.resourceUsage().maxRSS/1024|0)}`)};
class P extends FolderSink { async close(e){ mb("before close"); const c=await super.close(e); mb("after close"); return c;} }
const llm=await load("fixtures/qwen3_moe.gguf",{threads:1}); mb("loaded");
const length=20, samples=50000;
const prompts = Array.from({ length: samples }, (_, sample) => ({ tokenIds: Int32Array.from({ length }, (_, i) => (sample * 31 + i * 7) % 250), label: `label ${sample % 8}` })); mb("prompts");
let n=0; await llm.capture(prompts,{into:new P("/tmp/memrun2"), onProgress:()=>{ if(n++===0||n%3000===0) mb("step "+n); }});
await llm.close(); mb("closed");
