import { FolderSink } from "./dist/index.js"; import {rmSync} from "node:fs";
const [N,T]=process.argv.slice(2).map(Number); const S=Math.ceil(N/T);
const samples=Array.from({length:S},(_,i)=>({label:`label ${i%8}`,promptTokens:T}));
const model={name:"x",source:"x",architecture:"qwen3moe",layers:4,hiddenSize:64,vocabSize:256,contextLength:100,parameters:1,bytes:1,quantization:"F32",moe:{layers:[0,1,2,3],experts:8,topK:2,sharedExperts:0,gating:{score:"softmax",normalize:true,scale:1,selectionBias:false,groups:null}}};
const L=[0,1,2,3];
rmSync("/tmp/memrun",{recursive:true,force:true});
const mb=()=>{const m=process.memoryUsage();return `rss ${(m.rss/2**20|0)} heap ${(m.heapUsed/2**20|0)}/${(m.heapTotal/2**20|0)} ext ${(m.external/2**20|0)} ab ${(m.arrayBuffers/2**20|0)} peak ${(process.resourceUsage().maxRSS/1024|0)}`};
const sink=new FolderSink("/tmp/memrun");
console.log("start",mb());
await sink.open({engine:{kind:"llama.cpp",version:"1"},model,streams:[{name:"router_logits",layers:L},{name:"expert_ids",layers:L},{name:"expert_weights",layers:L}],samples,tokenText:(i)=>"t"+i});
console.log("open",mb());
const fin=[];
let row=0; const B=512; let done=0;
while(row<N){ const n=Math.min(B,N-row);
 const sample=new Int32Array(n),position=new Int32Array(n),tokenId=new Int32Array(n),phase=new Uint8Array(n);
 for(let i=0;i<n;i++){{const g=(row+i)/(T*8)|0,o=(row+i)-g*T*8;sample[i]=Math.min(S-1,g*8+o%8);position[i]=o/8|0;}tokenId[i]=(row+i)*7%250;}
 const mk=(A,w)=>new Map(L.map(l=>[l,new A(n*w)]));
 await sink.write({rows:n,sample,position,tokenId,phase,streams:new Map([["router_logits",mk(Float32Array,8)],["expert_ids",mk(Uint16Array,2)],["expert_weights",mk(Float32Array,2)]])});
 row+=n; const ended=[]; for(;done<((row/T)|0);done++) ended.push({sample:done,tokens:new Int32Array(0),text:"",reason:"length"});
 if(ended.length){await sink.finish(ended); fin.push(...ended);}
 if((row/B)%400===0) console.log(row,mb());
}
console.log("written",mb());
const c=await sink.close({finished:fin});
console.log("closed",mb(), c.rows.length);
